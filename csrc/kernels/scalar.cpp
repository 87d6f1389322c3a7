// The specification of every kernel: plain loops that can be checked by eye. Never tuned.
// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.h"

namespace nigro::kernels {

void fill_scalar(Kernels&) {}

}  // namespace nigro::kernels
