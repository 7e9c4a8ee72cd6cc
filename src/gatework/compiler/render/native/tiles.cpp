// The tiles themselves: the same for every cell, so they are compiled once and linked to each kernel.
#include "plain.h"

constexpr long AHEAD = 12;

template <int R, int NV, bool PACKED>
static void tile(const real* const* a, long ka, const real* panel, long K, const real* start, real* const* c, long kc) {
    V sum[R][NV];
    const real* row[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
        row[r] = PACKED ? a[0] : a[r] + ka;
#pragma GCC unroll 4
        for (int n = 0; n < NV; n++) sum[r][n] = load((start ? start : c[r] + kc) + n * L);
    }
    for (long k = 0; k < K; k++) {
        V b[NV];
#pragma GCC unroll 4
        for (int n = 0; n < NV; n++) {
            b[n] = load(panel + (k * NV + n) * L);
            if (R <= 2) __builtin_prefetch(panel + ((k + AHEAD) * NV + n) * L);  // too little work to hide the way from L2
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            const V s = Coding::left(PACKED ? row[0] + k * R + r : row[r] + k);
#pragma GCC unroll 4
            for (int n = 0; n < NV; n++) sum[r][n] = Coding::meet(sum[r][n], s, b[n]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int n = 0; n < NV; n++) store(c[r] + kc + n * L, sum[r][n]);
}

template <int NV, bool PACKED, int R = most_rows(NV)>
static Tile choose(int rows) {
    if constexpr (R == 1) return tile<1, NV, PACKED>;
    else return rows == R ? tile<R, NV, PACKED> : choose<NV, PACKED, R - 1>(rows);
}
template <bool PACKED> static Tile choose(int rows, int vectors) {
    switch (vectors) {
        case 1: return choose<1, PACKED>(rows);
        case 2: return choose<2, PACKED>(rows);
        case 3: return choose<3, PACKED>(rows);
        default: return choose<4, PACKED>(rows);
    }
}

extern "C" Tile TILE(bool packed, int rows, int vectors) {
    return packed ? choose<true>(rows, vectors) : choose<false>(rows, vectors);
}
