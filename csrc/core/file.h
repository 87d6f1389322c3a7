// A file, read once and whole into memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "core/pages.h"

namespace nigro {

struct FileContent {
    Pages<unsigned char> bytes;
    std::size_t size = 0;
};

// Reads the file at 'path', which fopen() must understand.
//
// Throws FileError if it cannot be opened or read, or holds more than 'max_bytes'; std::bad_alloc.
// A file that shrinks or grows meanwhile gives what was read, never uninitialised bytes.
FileContent read_file(const std::string& path, std::size_t max_bytes);

}  // namespace nigro
