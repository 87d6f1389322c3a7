// Chooses the table of kernels.
//
// What differs between instruction sets is one line of kIsas: slots are filled by the scalar file
// and overridden by the line's own function.
//
// SPDX-License-Identifier: Apache-2.0
#include "kernels/dispatch.h"

#include <cstdlib>
#include <string>

#include "kernels/cpu.h"

namespace nigro::kernels {
namespace {

void fill_all_scalar(Kernels& table) {
    fill_scalar(table);
    fill_conv_scalar(table);
}

#if defined(__x86_64__)
void fill_all_avx2(Kernels& table) {
    fill_all_scalar(table);
    override_avx2(table);
    override_conv_avx2(table);
}

// Preprocessing has nothing to gain from wider vectors.
void fill_all_avx512(Kernels& table) {
    fill_all_avx2(table);
    override_conv_avx512(table);
}
#endif

#if defined(__aarch64__)
void fill_all_neon(Kernels& table) {
    fill_all_scalar(table);
    override_neon(table);
    override_conv_neon(table);
}
#endif

struct Isa {
    const char* name;
    bool (*runs_here)();
    void (*fill)(Kernels&);
};

// In order of preference, the best last.
constexpr Isa kIsas[] = {
    {"scalar", cpu_runs_scalar, fill_all_scalar},
#if defined(__x86_64__)
    {"avx2", cpu_runs_avx2, fill_all_avx2},
    {"avx512", cpu_runs_avx512, fill_all_avx512},
#endif
#if defined(__aarch64__)
    {"neon", cpu_runs_neon, fill_all_neon},
#endif
};

std::vector<Kernels> runnable() {
    std::vector<Kernels> tables;
    for (const Isa& isa : kIsas) {
        if (!isa.runs_here()) continue;
        Kernels table{};
        isa.fill(table);
        table.name = isa.name;
        tables.push_back(table);
    }
    return tables;
}

std::string names_of(const std::vector<Kernels>& tables) {
    std::string names;
    for (const Kernels& table : tables)
        names += (names.empty() ? "" : ", ") + std::string(table.name);
    return names;
}

const Kernels& choose() {
    const char* name = std::getenv("NIGROEDGE_ISA");
    if (name == nullptr || *name == '\0') return available().back();
    if (const Kernels* forced = find(name)) return *forced;
    throw UnavailableIsa("expected NIGROEDGE_ISA to be one of " + names_of(available()) +
                         " on this CPU, got '" + name + "'");
}

}  // namespace

const std::vector<Kernels>& available() {
    static const std::vector<Kernels> tables = runnable();
    return tables;
}

const Kernels* find(std::string_view name) {
    for (const Kernels& table : available())
        if (name == table.name) return &table;
    return nullptr;
}

const Kernels& active() {
    static const Kernels& chosen = choose();
    return chosen;
}

}  // namespace nigro::kernels
