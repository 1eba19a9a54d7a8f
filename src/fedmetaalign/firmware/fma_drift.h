/* Tells whether the inputs are still what the classifier was trained on: Page's test of each feature, where its
 * values lie and how far out. A fault that the classifier knows is no drift: samples that it calls faults are held
 * against the faults of training, where there were enough of them (FMA_REFERENCES of fma_reference.h is 2 then).
 *
 *     static fma_drift_t drift;                          all zero: nothing seen yet
 *     int fault = fma_classify(raw, &score);
 *     if (fma_drift(&drift, raw, fault)) ...             the verdicts can no longer be relied on
 *
 * State: 8 bytes a feature, and 2. Constants: 4 bytes a feature, and 57 for each reference. Time: nine comparisons of
 * floats and four sums of integers a feature, at the
 * samples that are looked at, one of fma_drift_every. It allocates nothing, and calls may come from several threads, each
 * with a state of its own. */
#ifndef FMA_DRIFT_H
#define FMA_DRIFT_H

#include "fma_model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int16_t sums[FMA_FEATURES][4]; /* of values that rise, that fall, that spread, that draw together */
    int16_t seen; /* samples, modulo 1024 */
} fma_drift_t;

/* Begins again, as after the sensors have been seen to. An alarm stands until then. */
void fma_drift_reset(fma_drift_t *drift);

/* Takes a sample, in the order and units of fma_classify, and what that says of it. Returns how many features
 * have drifted. A feature that is NaN is left out, and so is a sample of a broken sensor (FMA_SENSOR_FAULT). */
int fma_drift(fma_drift_t *drift, const float *raw, int fault);

/* 1 if this feature has drifted, else 0. */
int fma_drifted(const fma_drift_t *drift, int feature);

#ifdef __cplusplus
}
#endif

#endif
