// Every kernel of nigroedge: one table of function pointers, and the contract of each slot.
//
// The scalar file fills all slots and is the specification; the file of an instruction set overrides
// the slots that it does faster. An override gives the same bits for every input, so nobody above
// this header needs to know which one runs. Tables are chosen in dispatch.cpp, once, by name.
//
// A file of an instruction set includes only this header, <cstddef>, <cstdint> and intrinsics: an
// inline function of any other header could be compiled for that set and be kept by the linker for
// everybody. For the same reason this header defines no function.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace nigro::kernels {

struct Kernels {
    const char* name;  // the instruction set, as NIGROEDGE_ISA spells it
};

// Each fills or overrides slots of a table; `name` is dispatch.cpp's. A function exists only where
// its instruction set can be compiled, and is called only where it can be run.
void fill_scalar(Kernels& table);
#if defined(__x86_64__)
void override_avx2(Kernels& table);
#endif
#if defined(__aarch64__)
void override_neon(Kernels& table);
#endif

}  // namespace nigro::kernels
