/* Phase 3 on the microcontroller: the last layers of the network learn from labelled samples, one at a time.
 *
 * The integer layers before them, the trunk, stay as they are (fma_trunk of fma_infer.h). Those after them, the
 * head, are float32 and trained with Adam, batch size 1, on the cross-entropy; then the threshold with
 * the best F1 is chosen over a ring of labelled scores. What was learned is exported as bytes, which
 * `fedmetaalign adapt` turns into a new bundle.
 *
 *     static fma_adapt_t adapt;                    // 10.4 KB for the paper's network
 *     fma_adapt_init(&adapt, 1e-3f, 0.5f);
 *     for each labelled sample:
 *         if (fma_prepare(raw, input) < 0) continue; // a sensor is broken
 *         fma_trunk(input, trunk);
 *         fma_adapt_record(&adapt, fma_adapt_step(&adapt, trunk, label), label);
 *     fma_adapt_choose(&adapt);
 *     for each new sample, prepared and taken through the trunk likewise:
 *         alarm = fma_adapt_fault(&adapt, fma_adapt_score(&adapt, trunk));
 *
 * fma_learn.h does both of a raw sample, and sees to broken sensors.
 *
 * All memory is the caller's. Every operation rounds once and sums have one order, so results are the same to
 * the last bit on all machines with IEEE 754 float32 arithmetic. Do not compile with -ffast-math.
 */
#ifndef FMA_ADAPT_H
#define FMA_ADAPT_H

#include <stdint.h>

#include "fma_head.h" /* of the bundle: sizes and starting weights of the head, grid of the trunk's output */

#ifdef __cplusplus
extern "C" {
#endif

#ifndef FMA_ADAPT_RING
#define FMA_ADAPT_RING 128 /* labelled scores to choose a threshold from, 30 to 1000; 4 bytes each */
#endif

#define FMA_ADAPT_BYTES (4 * (8 + FMA_HEAD_LAYERS / 2 + FMA_HEAD_PARAMETERS)) /* of an exported state */

/* A weight with Adam's moments, each divided by 1 - beta: decaying sums instead of averages. */
typedef struct {
    float weight, first, second;
} fma_parameter_t;

typedef struct {
    /* Layer by layer, one row an input and the biases as the last: the Python package's flat vector. */
    fma_parameter_t parameters[FMA_HEAD_PARAMETERS];
    uint32_t first_decay, second_decay; /* beta to the power of the steps that the moments saw, times 2^31 */
    float learning_rate;
    float fallback;                /* the threshold where none can be chosen */
    float threshold;               /* a sample is a fault if its score is strictly greater */
    uint32_t steps;                /* since the bundle was made */
    uint16_t normals, faults;      /* that the threshold was chosen from; 0 while it is the fallback */
    uint16_t recorded, next;       /* how many entries of the ring hold a score; where the next one goes */
    uint32_t ring[FMA_ADAPT_RING]; /* a score's bits, shifted left by one, and its label */
} fma_adapt_t;

/* Takes one byte of an exported state, to a serial port say; `context` is what fma_adapt_export was given. */
typedef void fma_put_t(uint8_t byte, void *context);

/* Starts from the bundle's weights. `fallback` is the threshold until fma_adapt_choose finds a better one. */
void fma_adapt_init(fma_adapt_t *state, float learning_rate, float fallback);

/* The probability of a fault, in [0, 1], from the trunk's FMA_TRUNK_OUTPUTS outputs. */
float fma_adapt_score(const fma_adapt_t *state, const int8_t *trunk);

#ifdef FMA_HEAD_CLASSES
/* The same, and the probabilities of the FMA_HEAD_CLASSES classes. */
float fma_adapt_scores(const fma_adapt_t *state, const int8_t *trunk, float *scores);

/* The likeliest class of those that mean a fault; of equals the first. */
int fma_adapt_kind(const float *scores);
#endif

/* One step of Adam on a labelled sample: 0 normal, else fault; of several classes the label is the class, and
 * what is none of them is not learned from. Returns the sample's probability of a fault before the step. */
float fma_adapt_step(fma_adapt_t *state, const int8_t *trunk, int label);

/* Remembers a labelled score, in place of the oldest one where the ring is full; labels are as for a step. */
void fma_adapt_record(fma_adapt_t *state, float score, int label);

/* Chooses the threshold with the best F1 over the ring, and returns it: the fallback where the ring has fewer
 * than 30 scores or 5 of either class. Makes FMA_ADAPT_RING^2 comparisons at most. */
float fma_adapt_choose(fma_adapt_t *state);

/* Whether a score is a fault. */
int fma_adapt_fault(const fma_adapt_t *state, float score);

/* Gives the FMA_ADAPT_BYTES bytes of the state, without moments and ring, to `put` one after another. */
void fma_adapt_export(const fma_adapt_t *state, fma_put_t *put, void *context);

/* Goes on from an exported state, after a reset for instance, with fresh moments and an empty ring, and with
 * the exported threshold as the fallback. Returns 1; or 0 and leaves `state` alone where the bytes are damaged
 * or another bundle's. */
int fma_adapt_restore(fma_adapt_t *state, const uint8_t *bytes, uint32_t count, float learning_rate);

#ifdef __cplusplus
}
#endif

#endif
