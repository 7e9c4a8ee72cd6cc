// Words of several short numbers: what the codings brain.h and bytes.h share. `real` is float.
#pragma once
#include "tile.h"
#define TILE gatework_word_tile
#if (defined(__AVX512BF16__) || defined(__AVX512VNNI__) || defined(__AVXVNNI__)) && VECTOR_BYTES >= 32
#include <immintrin.h>
#endif

typedef whole Bits __attribute__((may_alias));

INLINE V same_word(const real* word) { return number(*(const Bits*)word - M{}); }

// sum[i] = row i < n of a matrix, as it lies, with one row of words that is zero up to a whole vector.
template <class Meet> static void word_dots(V* sum, const char* matrix, long row_bytes, int n, const real* row, long bytes, Meet meet) {
    constexpr int ROWS = L / 2;  // as many sums as stay in registers
    const long full = bytes / VECTOR_BYTES;
    for (int first = 0; first < L; first += ROWS) {
        const char* from = matrix + first * row_bytes;
        V now[ROWS] = {};
        if (n - first >= ROWS) {
            for (long k = 0; k < full; k++) {
                const V words = load(row + k * L);
                UNROLL for (int i = 0; i < ROWS; i++) {
                    const char* at = from + i * row_bytes + k * VECTOR_BYTES;
                    __builtin_prefetch(at + ROWS * row_bytes);  // rows are too short for the processor to see where they go on
                    now[i] = meet(now[i], words, load_anywhere(at));
                }
            }
        } else {
            for (long k = 0; k < full; k++)
                UNROLL for (int i = 0; i < ROWS; i++)
                    if (first + i < n) now[i] = meet(now[i], load(row + k * L), load_anywhere(from + i * row_bytes + k * VECTOR_BYTES));
        }
        UNROLL for (int i = 0; i < ROWS; i++) {
            if (first + i < n && full * VECTOR_BYTES < bytes)
                now[i] = meet(now[i], load(row + full * L), load_bytes(from + i * row_bytes + full * VECTOR_BYTES, bytes - full * VECTOR_BYTES));
            sum[first + i] = now[i];
        }
    }
}
