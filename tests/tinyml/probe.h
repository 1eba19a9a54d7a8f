#ifndef PROBE_H
#define PROBE_H
#include <stdint.h>

int32_t count_up(int32_t step);
int32_t square(uint32_t i);
int32_t weigh(int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f);
float ratio(int32_t a, int32_t b);
void each(const float *a, const float *b, float *out, int32_t n);
void round_to_integers(const float *a, int32_t *out, int32_t n);
float product_and_sum(const float *a);
void poke(uint32_t address);
void square_roots(const float *a, float *out, int32_t n);
uint32_t smlad(uint32_t a, uint32_t b, uint32_t c);
uint32_t sxtb16(uint32_t a);
extern const int32_t squares[4];
extern int32_t counter;

#endif
