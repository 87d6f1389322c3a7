// How many processors this process may use: those it may be scheduled on, within its quota.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace nigro {

// At least 1. On Linux the lesser of the processors in the affinity mask and the quota of the
// control groups, which is what a container is granted; elsewhere the processors of the machine.
std::size_t usable_processors();

// The quota of the control groups as the files below 'root' tell it ("" is this machine): of
// every group from the process's own up to the mount, of version 1 or 2, the least quota / period,
// rounded up. 0 if there is none. What cannot be read or understood grants all processors.
std::size_t processor_quota(const std::string& root);

}  // namespace nigro
