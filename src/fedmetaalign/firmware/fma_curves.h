/* The map of a raw feature to a normal score, of a device whose inputs are encoded by quantiles: linear between
 * the knots in fma_model.h, and constant beyond the first and the last. Included by fma_infer.c. */
#ifndef FMA_CURVES_H
#define FMA_CURVES_H

static inline float fma_encode(float raw, int feature) {
    int32_t low = fma_first[feature], high = fma_first[feature + 1];
    if (raw < fma_knots[low]) raw = fma_knots[low];
    if (raw > fma_knots[high - 1]) raw = fma_knots[high - 1];
    while (high - low > 1) { /* the last knot that is not above it is one of low, ..., high - 1 */
        const int32_t middle = (low + high) / 2;
        if (raw >= fma_knots[middle]) low = middle;
        else high = middle;
    }
    return fma_levels[low] + (raw - fma_knots[low]) * fma_slopes[low]; /* NaN stays NaN */
}

#endif
