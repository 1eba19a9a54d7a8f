/* As the comment at the top of fma_adapt.h has it. */
#include "fma_adapt.h"
#include "fma_infer.h"
void whole(const float *raw, const uint8_t *labels, float *scores, uint32_t count);
void whole(const float *raw, const uint8_t *labels, float *scores, uint32_t count)
{
    static fma_adapt_t state;
    fma_adapt_init(&state, 1e-3f, 0.5f);
    for (; count--; raw += FMA_FEATURES, labels++, scores++) {
        fma_input_t input[FMA_INPUTS];
        int8_t trunk[FMA_TRUNK_OUTPUTS];
        fma_prepare(raw, input);
        fma_trunk(input, trunk);
        *scores = fma_adapt_step(&state, trunk, *labels);
    }
}
