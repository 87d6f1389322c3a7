// A file, read once and whole into memory; see file.h.
//
// C's own functions: std::ifstream would bring locales into a library that has no other use for
// them.
//
// SPDX-License-Identifier: Apache-2.0
#include "core/file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <system_error>

#include "core/error.h"

namespace nigro {
namespace {

struct Closer {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Closer>;

[[noreturn]] void refuse(const std::string& path, int error) {
    if (error == ENOMEM) throw std::bad_alloc();
    throw FileError("expected a readable file, got '" + path +
                    "': " + std::generic_category().message(error));
}

std::size_t size_of(std::FILE* file, const std::string& path, std::size_t max_bytes) {
    if (std::fgetc(file) == EOF && std::ferror(file) != 0) refuse(path, errno);  // a folder, say
    if (std::fseek(file, 0, SEEK_END) != 0) refuse(path, errno);
    const long size = std::ftell(file);
    if (size < 0 || std::fseek(file, 0, SEEK_SET) != 0) refuse(path, errno);
    if (static_cast<unsigned long>(size) > max_bytes)
        throw FileError("expected a file of at most " + std::to_string(max_bytes) +
                        " bytes, got '" + path + "' of " + std::to_string(size));
    return static_cast<std::size_t>(size);
}

}  // namespace

FileContent read_file(const std::string& path, std::size_t max_bytes) {
    errno = 0;
    const File file(std::fopen(path.c_str(), "rb"));
    if (file == nullptr) refuse(path, errno);
    std::setvbuf(file.get(), nullptr, _IONBF, 0);  // one read into our own memory, no copy
    FileContent content;
    const std::size_t size = size_of(file.get(), path, max_bytes);
    content.bytes = allocate_pages<unsigned char>(size + 1);  // not of size 0
    content.size = std::fread(content.bytes.get(), 1, size, file.get());
    if (std::ferror(file.get()) != 0) refuse(path, errno);
    return content;
}

}  // namespace nigro
