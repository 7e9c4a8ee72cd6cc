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
// The tile for so many rows and vectors (tiles.cpp), of numbers as they are and of words (words.h). When packed, a[0]
// holds [K][rows] in place of `rows` rows.
typedef Tile Choose(bool packed, int rows, int vectors);
extern "C" Choose gatework_tile, gatework_word_tile;

// c[r][kc..] = start + a[r] . panel for any number of rows, in blocks of equal height.
template <Choose CHOOSE = gatework_tile>
static void product(const real* const* a, long ka, const real* panel, int vectors, long K, const real* start,
                    real* const* c, long kc, long rows) {
    const long most = most_rows(vectors), blocks = (rows + most - 1) / most;
    if (!rows) return;
    const long low = rows / blocks, more = rows % blocks;
    const Tile tall = CHOOSE(false, low + 1 > most ? low : low + 1, vectors), flat = CHOOSE(false, low, vectors);
    for (long k = 0; k < K || !k; k += K_BLOCK) {
        const long depth = K - k < K_BLOCK ? K - k : K_BLOCK;
        for (long i = 0, r = 0; i < blocks; i++) {
            (i < more ? tall : flat)(a + r, ka + k, panel + k * vectors * L, depth, k ? nullptr : start, c + r, kc);
            r += i < more ? low + 1 : low;
        }
    }
}

template <int S, int... I> INLINE void exchange(V& a, V& b, Sequence<I...>) {  // blocks of S lanes change places
    const V low = __builtin_shufflevector(a, b, (I & S ? L + I - S : I)...);
    b = __builtin_shufflevector(a, b, (I & S ? L + I : I + S)...);
    a = low;
}
template <int S> INLINE void transpose(V* v) {  // v[i][j] to v[j][i]
    UNROLL for (int i = 0; i < L; i++)
        if (!(i & S)) exchange<S>(v[i], v[i + S], typename Count<L>::type{});
    if constexpr (S > 1) transpose<S / 2>(v);
}
INLINE V load_anywhere(const char* from) {  // from any byte
    V v;
    memcpy(&v, from, sizeof(v));
    return v;
}
static inline V load_bytes(const char* from, long n) {
    V v{};
    memcpy(&v, from, n);
    return v;
}
// to[k * step + c] = word k of row c for one vector of columns c; columns from `columns` on are zero. A row is `bytes`
// long, a word as long as a real; the last word is filled up with zeros. Bits of FLIP are turned round.
template <whole FLIP = 0> static void pack_words(real* to, long step, const void* matrix, long row_bytes, long columns, long bytes) {
    const int n = columns < L ? (columns > 0 ? columns : 0) : L;
    for (long k = 0; k < bytes; k += VECTOR_BYTES) {
        V v[L];
        const char* from = (const char*)matrix + k;
        const long deep = bytes - k < VECTOR_BYTES ? bytes - k : VECTOR_BYTES;
        UNROLL for (int c = 0; c < L; c++) v[c] = c >= n ? V{} : deep == VECTOR_BYTES ? load_anywhere(from + c * row_bytes) : load_bytes(from + c * row_bytes, deep);
        transpose<L / 2>(v);
        UNROLL for (int i = 0; i < L; i++)
            if (i * (long)sizeof(real) < deep) store(to + (k / (long)sizeof(real) + i) * step, number(bits(v[i]) ^ FLIP));
    }
}
// to[k * step + c] = matrix[c][k]
static void pack_transposed(real* to, long step, const real* matrix, long stride, long columns, long K) {
    pack_words(to, step, matrix, stride * sizeof(real), columns, K * sizeof(real));
}
// matrix[k][c] for columns c < n of one panel, as [K][width * L].
static void pack_rows(real* to, int width, const real* matrix, long stride, long n, long K) {
    for (long k = 0; k < K; k++, to += width * L) {
        const real* from = matrix + k * stride;
        long c = 0;
        for (; c + L <= n && c < width * L; c += L) store(to + c, load(from + c));
        for (; c < width * L; c++) to[c] = c < n ? from[c] : 0;
    }
}

// sums[i] = lanes of v[i] added up; v is used up.
template <int S, class T, int... I>
INLINE T fold(T a, T b, Sequence<I...>) {
    const T low = __builtin_shufflevector(a, b, ((I / S) % 2 ? L : 0) + I / (2 * S) * (2 * S) + I % S ...);
    const T high = __builtin_shufflevector(a, b, ((I / S) % 2 ? L : 0) + I / (2 * S) * (2 * S) + I % S + S ...);
    return low + high;
}
template <int S, class T> INLINE T fold_all(T* v) {
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
