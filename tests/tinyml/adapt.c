/* Functions without float arguments, which travel differently on every core, and a look at what is static. */
#include "fma_adapt.c"
uint32_t state_size(void) { return sizeof(fma_adapt_t); }
void init(fma_adapt_t *state, const float *settings) { fma_adapt_init(state, settings[0], settings[1]); }
void step(fma_adapt_t *state, const int8_t *trunk, int label) { fma_adapt_step(state, trunk, label); }
void learn(fma_adapt_t *state, const int8_t *trunk, const uint8_t *labels, float *scores, uint32_t count)
{
    for (; count--; trunk += FMA_TRUNK_OUTPUTS, labels++, scores++) {
        *scores = fma_adapt_step(state, trunk, *labels);
        fma_adapt_record(state, *scores, *labels);
    }
}
void score(const fma_adapt_t *state, const int8_t *trunk, float *scores, uint32_t count)
{
    for (; count--; trunk += FMA_TRUNK_OUTPUTS)
        *scores++ = fma_adapt_score(state, trunk);
}
#ifdef FMA_HEAD_CLASSES
void kinds(const fma_adapt_t *state, const int8_t *trunk, float *scores, uint8_t *kind, uint32_t count)
{
    for (; count--; trunk += FMA_TRUNK_OUTPUTS, scores += FMA_HEAD_CLASSES) {
        fma_adapt_scores(state, trunk, scores);
        *kind++ = (uint8_t)fma_adapt_kind(scores);
    }
}
#endif
void record(fma_adapt_t *state, const float *scores, const uint8_t *labels, uint32_t count)
{
    for (; count--; scores++, labels++)
        fma_adapt_record(state, *scores, *labels);
}
void choose(fma_adapt_t *state, float *threshold) { *threshold = fma_adapt_choose(state); }
int fault(const fma_adapt_t *state, const float *score) { return fma_adapt_fault(state, *score); }
static void put(uint8_t byte, void *context)
{
    uint8_t **at = context;
    *(*at)++ = byte;
}
uint32_t save(const fma_adapt_t *state, uint8_t *bytes)
{
    uint8_t *end = bytes;
    fma_adapt_export(state, put, &end);
    return (uint32_t)(end - bytes);
}
int restore(fma_adapt_t *state, const uint8_t *bytes, uint32_t count, const float *rate)
{
    return fma_adapt_restore(state, bytes, count, *rate);
}
void roots(float *values, uint32_t count)
{
    for (; count--; values++)
        *values = fma_root(*values);
}
