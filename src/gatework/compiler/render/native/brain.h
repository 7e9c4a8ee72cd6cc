// bfloat16 in memory and on both sides of a product, two numbers a word; sums, states and pointwise work in float.
#pragma once
#include "words.h"

struct Coding {
    typedef uint16_t Stored;
    typedef uint16_t Weight;
    typedef uint16_t Halves __attribute__((vector_size(2 * L)));
    typedef uint32_t Wide __attribute__((vector_size(VECTOR_BYTES)));
    static constexpr int FACTS = 1;

    static long words(long K) { return (K + 1) / 2; }
    static long room(long K) { return (words(K) + L - 1) / L * L; }

    static V read(const Stored* from, int n) {
        Halves half{};
        if (n == L) memcpy(&half, from, sizeof(half));
        else memcpy(&half, from, n * sizeof(Stored));
        return (V)(__builtin_convertvector(half, Wide) << 16);
    }
    static Halves narrow(V v) {  // to the nearest, to even where two are
        const Wide exact = (Wide)v, rounded = exact + 0x7FFF + ((exact >> 16) & 1);
        return __builtin_convertvector((Wide)pick(v != v, (V)(exact | 0x400000), (V)rounded) >> 16, Halves);
    }
    static void write(Stored* to, V v, int n) {
        const Halves half = narrow(v);
        if (n == L) memcpy(to, &half, sizeof(half));
        else memcpy(to, &half, n * sizeof(Stored));
    }
    static const real* row(real* room, const Stored* from, long K) {
        if (K) memcpy(room, from, K * sizeof(Stored));  // a tensor without numbers may have no address
        memset((char*)room + K * sizeof(Stored), 0, Coding::room(K) * sizeof(real) - K * sizeof(Stored));
        return room;
    }
    static const real* row(real* room, const real* from, long K) {  // of a state, whose rows are whole vectors long
        memset(room + Coding::room(K) - L, 0, VECTOR_BYTES);
        for (long k = 0; k < K; k += L) write((Stored*)room + k, K - k < L ? keep(load(from + k), K - k) : load(from + k), L);
        return room;
    }
    static void pack(real* to, long step, const Weight* matrix, long stride, long columns, long K) {
        pack_words(to, step, matrix, stride * sizeof(Weight), columns, K * sizeof(Weight));
    }
    static void facts(real* to, long, const Stored* bias, const real*, long n) {
        store(to, bias && n > 0 ? read(bias, n < L ? n : L) : V{});
    }
    INLINE V left(const real* word) { return same_word(word); }
    INLINE V meet(V sum, V left, V right) {
#if defined(__AVX512BF16__) && VECTOR_BYTES == 64
        return (V)_mm512_dpbf16_ps((__m512)sum, (__m512bh)left, (__m512bh)right);
#else
        const whole high = (whole)0xFFFF0000;
        const V first = sum + number(bits(left) << 16) * number(bits(right) << 16);
        return first + number(bits(left) & high) * number(bits(right) & high);
#endif
    }
    static void multiply(const real* const* rows, const real* panel, int vectors, long K, const real* facts, long,
                         real* const* c, long kc, long n) {
        product<gatework_word_tile>(rows, 0, panel, vectors, words(K), facts, c, kc, n);
    }
    static V one(const Weight* matrix, long stride, int n, const real* row, long K, const Stored* bias, const real*) {
        V sum[L];
        word_dots(sum, (const char*)matrix, stride * sizeof(Weight), n, row, K * sizeof(Weight), [](V s, V a, V b) { return meet(s, a, b); });
        const V total = fold_all<L / 2>(sum);
        return bias ? total + read(bias, n) : total;
    }
};
