/* What `fedmetaalign verify` lets the firmware learn with, without float arguments, which travel differently on
 * every core. Not part of a device's firmware. */
#include "fma_adapt.h"

void replay_start(fma_adapt_t *state, const float *learning_rate, const float *fallback);
void replay_step(fma_adapt_t *state, const int8_t *trunk, int label);
void replay_choose(fma_adapt_t *state);
int replay_size(void);

void replay_start(fma_adapt_t *state, const float *learning_rate, const float *fallback) {
    fma_adapt_init(state, *learning_rate, *fallback);
}

void replay_step(fma_adapt_t *state, const int8_t *trunk, int label) {
    fma_adapt_record(state, fma_adapt_step(state, trunk, label), label);
}

void replay_choose(fma_adapt_t *state) {
    fma_adapt_choose(state);
}

int replay_size(void) {
    return (int)sizeof(fma_adapt_t);
}
