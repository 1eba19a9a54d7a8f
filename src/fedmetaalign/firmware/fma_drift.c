/* See fma_drift.h. */

#include "fma_drift.h"
#include "fma_reference.h"

#ifdef __FAST_MATH__
#error "fma_drift needs NaN to be unlike itself: turn -ffast-math off"
#endif

void fma_drift_reset(fma_drift_t *drift) {
    for (int i = 0; i < FMA_FEATURES; i++)
        for (int j = 0; j < 4; j++) drift->sums[i][j] = 0;
    drift->seen = 0;
}

int fma_drifted(const fma_drift_t *drift, int feature) {
    int found = 0;
    for (int j = 0; j < 4; j++) found |= drift->sums[feature][j] >= fma_drift_limits[feature];
    return found;
}

int fma_drift(fma_drift_t *drift, const float *raw, int fault) {
    const int which = FMA_REFERENCES > 1 && fault, seen = drift->seen;
    const int sound = fault == 0 || fault == 1; /* else a sensor is broken */
    int drifted = 0;
    if (sound) drift->seen = (int16_t)((seen + 1) & 1023);
    for (int i = 0; i < FMA_FEATURES; i++) {
        const float x = raw[i], *const edges = fma_drift_edges[which * FMA_FEATURES + i];
        const int limit = fma_drift_limits[i];
        const int slack = fma_drift_slack[which * FMA_FEATURES + i];
        const int8_t *scores = fma_drift_scores[which * FMA_FEATURES + i];
        if (sound && (seen & (fma_drift_every[i] - 1)) == 0 && x == x) {
            for (int e = 0; e < FMA_DRIFT_EDGES; e++) scores += x >= edges[e] ? 2 : 0;
            for (int j = 0; j < 4; j++) {
                const int score = scores[j / 2];
                const int sum = drift->sums[i][j] + (j % 2 ? -score : score) - slack;
                if (drift->sums[i][j] >= limit) continue; /* an alarm stands */
                drift->sums[i][j] = (int16_t)(sum < 0 ? 0 : sum < limit ? sum : limit);
            }
        }
        drifted += fma_drifted(drift, i);
    }
    return drifted;
}
