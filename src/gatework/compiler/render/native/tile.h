// Matrix products in register tiles: a few rows of A against panels of up to 4 vectors of columns.
#pragma once
#include "vector.h"

// A matrix with n vectors of columns is cut into panels of 4 and 3 vectors (all of 1 or 2 when there are no more), so that
// tiles stay full; `padded` is what n is rounded up to. Packed, panel i is [K][width * L] at offset first(i) * L * K.
struct Panels {
    int padded, fours, count;
    explicit Panels(int n) {
        padded = n == 5 ? 6 : n;
        const int threes = padded < 3 ? 0 : (4 - padded % 4) % 4;
        fours = padded < 3 ? 0 : (padded - 3 * threes) / 4;
        count = padded < 3 ? (padded ? 1 : 0) : fours + threes;
    }
    int first(int i) const { return i < fours ? 4 * i : 4 * fours + 3 * (i - fours); }
    int width(int i) const { return padded < 3 ? padded : i < fours ? 4 : 3; }
};

constexpr int REGISTERS = VECTOR_REGISTERS;
constexpr int most_rows(int vectors) {  // accumulators + one panel row + one broadcast fit the registers
    const int rows = (REGISTERS - 1 - (REGISTERS == 16 ? 1 : vectors)) / vectors;
    return rows < 1 ? 1 : rows > 8 ? 8 : rows;
}
constexpr long K_BLOCK = 512;

alignas(64) static const real ZEROS[4 * L] = {};

// c[r][kc..] = start + sum_k a[r][ka + k] panel[k]; `start` is one row for all, or c itself when null.
typedef void (*Tile)(const real* const* a, long ka, const real* panel, long K, const real* start, real* const* c, long kc);
// The tile for so many rows and vectors (tiles.cpp). When packed, a[0] holds [K][rows] in place of `rows` rows.
extern "C" Tile gatework_tile(bool packed, int rows, int vectors);

// c[r][kc..] = start + a[r] . panel for any number of rows, in blocks of equal height.
static void product(const real* const* a, long ka, const real* panel, int vectors, long K, const real* start,
                    real* const* c, long kc, long rows) {
    const long most = most_rows(vectors), blocks = (rows + most - 1) / most;
    if (!rows) return;
    const long low = rows / blocks, more = rows % blocks;
    const Tile tall = gatework_tile(false, low + 1 > most ? low : low + 1, vectors), flat = gatework_tile(false, low, vectors);
    for (long k = 0; k < K || !k; k += K_BLOCK) {
        const long depth = K - k < K_BLOCK ? K - k : K_BLOCK;
        for (long i = 0, r = 0; i < blocks; i++) {
            (i < more ? tall : flat)(a + r, ka + k, panel + k * vectors * L, depth, k ? nullptr : start, c + r, kc);
            r += i < more ? low + 1 : low;
        }
    }
}

// sums[i] = lanes of v[i] added up; v is used up.
template <int S, int... I>
INLINE V fold(V a, V b, Sequence<I...>) {
    const V low = __builtin_shufflevector(a, b, ((I / S) % 2 ? L : 0) + I / (2 * S) * (2 * S) + I % S ...);
    const V high = __builtin_shufflevector(a, b, ((I / S) % 2 ? L : 0) + I / (2 * S) * (2 * S) + I % S + S ...);
    return low + high;
}
template <int S> INLINE V fold_all(V* v) {
    for (int i = 0; i < S; i++) v[i] = fold<S>(v[i], v[i + S], typename Count<L>::type{});
    if constexpr (S > 1) return fold_all<S / 2>(v);
    else return v[0];
}

// One vector of L dot products: rows i < n of a row-major matrix against x.  No packing: for a single time step.
static V dots(const real* matrix, long stride, int n, const real* x, long K) {
    V sum[L] = {};
    for (int half = 0; half < L; half += L / 2 ? L / 2 : 1) {
        const int rows = n - half < L / 2 ? n - half : L / 2;
        if (rows <= 0) break;
        const real* row = matrix + half * stride;
        const long full = K / L * L;
        if (rows == L / 2) {
            for (long k = 0; k < full; k += L) {
                const V xk = load(x + k);
#pragma GCC unroll 8
                for (int i = 0; i < L / 2; i++) sum[half + i] += load(row + i * stride + k) * xk;
            }
        } else {
            for (int i = 0; i < rows; i++)
                for (long k = 0; k < full; k += L) sum[half + i] += load(row + i * stride + k) * load(x + k);
        }
        if (full < K)
            for (int i = 0; i < rows; i++)
                sum[half + i] += load_part(row + i * stride + full, K - full) * load_part(x + full, K - full);
    }
    return fold_all<L / 2>(sum);
}
