// Activations: the same bits on every machine, which no math library promises.
//
// exp and log are made of additions, products and quotients of float64 alone, each rounded as IEEE
// 754 has it, in one order. They are right to about 1e-15 and then rounded to float32.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "core/graph.h"

namespace nigro {

// exp(x), and exp(x) - 1; for x beyond +-700 as there.
double exp_of(double x);
double expm1_of(double x);

// log(1 + y) for y from 0 to 1.
double log1p_of(double y);

// Replaces n values by their activation.
void activate(const Activation& activation, float* values, std::size_t n);

}  // namespace nigro
