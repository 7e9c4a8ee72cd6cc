// Weights of eight bits with a scale for each of their rows; what they meet is rounded to eight bits with a scale for each
// row and step. Four numbers a word, whole sums; everything else in float. For inference.
#pragma once
#include "words.h"

struct Coding {
    typedef real Stored;
    typedef int8_t Weight;
    typedef int8_t Bytes __attribute__((vector_size(L)));
    static constexpr int FACTS = 2;  // biases, scales
    static constexpr int MOST = 127;
    static constexpr whole FLIP = (whole)0x80808080;  // weights lie in panels as weight + 128: the instruction wants one side unsigned

    static long words(long K) { return (K + 3) / 4; }
    static long padded(long K) { return (words(K) + L - 1) / L * L; }
    static long room(long K) { return padded(K) + L; }  // behind the words: scale, and what the 128 of the weights adds

    static V read(const Stored* from, int n) { return n == L ? load(from) : load_part(from, n); }
    static void write(Stored* to, V v, int n) {
        if (n == L) store(to, v);
        else store_part(to, v, n);
    }
    static const real* row(real* room, const Stored* from, long K) {
        V most{};
        for (long k = 0; k < K; k += L) most = vmax(most, vabs(read(from + k, K - k < L ? K - k : L)));
        real top = 0;
        for (int i = 0; i < L; i++) top = most[i] > top || most[i] != most[i] ? most[i] : top;
        const V up = splat(top > 0 ? MOST / top : 0);
        M sum{};
        if (K) memset(room + padded(K) - L, 0, VECTOR_BYTES);
        for (long k = 0; k < K; k += L) {
            const M number = __builtin_convertvector((read(from + k, K - k < L ? K - k : L) * up + MAGIC) - MAGIC, M);
            const Bytes bytes = __builtin_convertvector(number, Bytes);
            memcpy((int8_t*)room + k, &bytes, L);
            sum += number;
        }
        whole total = 0;
        for (int i = 0; i < L; i++) total += sum[i];
        room[padded(K)] = top / MOST;
        *(Bits*)(room + padded(K) + 1) = -128 * total;
        return room;
    }
    static void pack(real* to, long step, const Weight* matrix, long stride, long columns, long K) {
        pack_words<FLIP>(to, step, matrix, stride, columns, K);
    }
    static void facts(real* to, long apart, const Stored* bias, const real* scale, long n) {
        const int there = n < L ? n : L;
        store(to, bias && n > 0 ? read(bias, there) : V{});
        store(to + apart, n > 0 ? read(scale, there) : V{});
    }
    INLINE V left(const real* word) { return same_word(word); }
    INLINE V meet(V sum, V left, V right) {  // left signed, right unsigned
#if defined(__AVX512VNNI__) && VECTOR_BYTES == 64
        return (V)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)right, (__m512i)left);
#elif defined(__AVXVNNI__) && VECTOR_BYTES == 32
        return (V)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)right, (__m256i)left);
#else
        M total = bits(sum);
        UNROLL for (int i = 0; i < 4; i++) total += (bits(left) << (24 - 8 * i) >> 24) * ((bits(right) >> 8 * i) & 255);
        return number(total);
#endif
    }
    static V scaled(V sum, const real* row, long K, V scale, V bias) {
        const real* behind = row + padded(K);
        return __builtin_convertvector(bits(sum) + *(const Bits*)(behind + 1), V) * (scale * behind[0]) + bias;
    }
    static void multiply(const real* const* rows, const real* panel, int vectors, long K, const real* facts, long apart,
                         real* const* c, long kc, long n) {
        product<gatework_word_tile>(rows, 0, panel, vectors, words(K), ZEROS, c, kc, n);
        for (long r = 0; r < n; r++)
            for (int v = 0; v < vectors; v++) {
                real* at = c[r] + kc + v * L;
                store(at, scaled(load(at), rows[r], K, load(facts + apart + v * L), load(facts + v * L)));
            }
    }
    static V one(const Weight* matrix, long stride, int n, const real* row, long K, const Stored* bias, const real* scale) {
        V sum[L];
        word_dots(sum, (const char*)matrix, stride, n, row, K, [](V s, V a, V b) { return meet(s, a, number(bits(b) ^ FLIP)); });
        M whole_sum[L];
        for (int i = 0; i < L; i++) whole_sum[i] = bits(sum[i]);
        return scaled(number(fold_all<L / 2>(whole_sum)), row, K, read(scale, n), bias ? read(bias, n) : V{});
    }
};
