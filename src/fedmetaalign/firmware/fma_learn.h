/* Learning from raw samples, and judging them by what was learned: fma_adapt.h on top of fma_infer.h. */
#ifndef FMA_LEARN_H
#define FMA_LEARN_H

#include "fma_adapt.h"
#include "fma_infer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Learns from a raw sample with its label, as fma_adapt_step and fma_adapt_record do, and returns 1. From a sample
 * with a broken value it learns nothing, and returns 0. */
static inline int fma_learn(fma_adapt_t *state, const float *raw, int label FMA_LAST_PARAMETER) {
    fma_input_t input[FMA_INPUTS];
    int8_t trunk[FMA_TRUNK_OUTPUTS];
    if (fma_prepare(raw, input FMA_LAST_ARGUMENT) < 0) return 0;
    fma_trunk(input, trunk);
    fma_adapt_record(state, fma_adapt_step(state, trunk, label), label);
    return 1;
}

/* Stores the probability of a fault of a raw sample, by what was learned; returns FMA_NORMAL, FMA_FAULT or
 * FMA_SENSOR_FAULT. */
static inline int fma_judge(const fma_adapt_t *state, const float *raw, float *score FMA_LAST_PARAMETER) {
    fma_input_t input[FMA_INPUTS];
    int8_t trunk[FMA_TRUNK_OUTPUTS];
    const int broken = fma_prepare(raw, input FMA_LAST_ARGUMENT) < 0;
    fma_trunk(input, trunk);
    *score = fma_adapt_score(state, trunk);
    if (*score != *score) return FMA_SENSOR_FAULT;
    if (fma_adapt_fault(state, *score) && !(broken && FMA_STRICT)) return FMA_FAULT;
    return broken ? FMA_SENSOR_FAULT : FMA_NORMAL;
}

#ifdef __cplusplus
}
#endif

#endif
