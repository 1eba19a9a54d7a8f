/* The fault classifier of one device. fma_model.h, made for the device, says what goes in and comes out:
 *
 *     fma_input_t   uint8_t, int8_t or float: one input of the network
 *     fma_score_t   uint8_t (0 is 0, 256 would be 1), int8_t (128 less), or float in [0, 1]
 *     FMA_FEATURES  raw features, FMA_INPUTS inputs
 *     FMA_CLASSES   classes, where it tells more than two apart
 *
 * Nothing is allocated; static RAM takes three bytes for each output of the widest layer, and five for each
 * class, so that one call at a time may run. Scores are the same to the last bit on all machines. */
#ifndef FMA_INFER_H
#define FMA_INFER_H

#include "fma_model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the firmware says of a sample. A value that is no finite number, or outside the range that its sensor can
 * have (fma_model.h), is broken, and then it never says normal. */
#define FMA_NORMAL 0
#define FMA_FAULT 1
#define FMA_SENSOR_FAULT 2

#ifdef FMA_LAST
/* This device puts the last good value in the place of a broken one. The caller keeps it, one for each stream of
 * samples, and gives it to each call: static fma_last_t last; fma_last_init(&last); */
typedef struct {
    float encoded[FMA_FEATURES];
} fma_last_t;

void fma_last_init(fma_last_t *last);

#define FMA_LAST_PARAMETER , fma_last_t *last
#define FMA_LAST_ARGUMENT , last
#else
#define FMA_LAST_PARAMETER
#define FMA_LAST_ARGUMENT
#endif

/* Scales FMA_FEATURES raw values and, where the network takes integers, puts them on its grid; fma_model.h says
 * what takes the place of a broken value. Returns minus the number of inputs whose values are broken: do not learn
 * from such a sample. Where none is, returns how many of the FMA_INPUTS inputs lie outside the range that the
 * network was calibrated on, where it saturates; a network that is all float has no such range: 0. */
int fma_prepare(const float *raw, fma_input_t *input FMA_LAST_PARAMETER);

#ifdef FMA_RAW_WINDOW
/* The same of one sample of one channel of a raw window, for fma_front.c: returns whether its value is good. */
int fma_prepare_one(const float *value, int channel, fma_input_t *input);
#endif

#ifdef FMA_CLASSES

/* The probabilities of the classes, in the order of fma_model.h. */
void fma_scores(const fma_input_t *input, fma_score_t *scores);

/* FMA_FAULT if the probability of a fault, 1 less those of the normal classes, is above the threshold, else
 * FMA_NORMAL; FMA_SENSOR_FAULT if it is no number, since float inputs were too large. */
int fma_fault(const fma_score_t *scores);

/* The likeliest class of those that mean a fault; of equals the first. */
int fma_kind(const fma_score_t *scores);

/* All in one: stores the FMA_CLASSES scores of raw values and the likeliest fault; returns FMA_NORMAL, FMA_FAULT or
 * FMA_SENSOR_FAULT. */
int fma_classify(const float *raw, fma_score_t *scores, int *kind FMA_LAST_PARAMETER);

#else

/* The probability of a fault. */
fma_score_t fma_score(const fma_input_t *input);

/* FMA_FAULT if the score is strictly above the threshold, else FMA_NORMAL; FMA_SENSOR_FAULT if it is no number,
 * since float inputs were too large. */
int fma_fault(fma_score_t score);

/* All three in one: stores the score of raw values; returns FMA_NORMAL, FMA_FAULT or FMA_SENSOR_FAULT. */
int fma_classify(const float *raw, fma_score_t *score FMA_LAST_PARAMETER);

#endif

#if FMA_TRUNK
/* The FMA_TRUNK_OUTPUTS outputs of the layers that stay as they are when the device learns (fma_adapt.h). */
void fma_trunk(const fma_input_t *input, int8_t *output);
#endif

#ifdef __cplusplus
}
#endif

#endif
