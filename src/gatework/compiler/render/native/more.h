// What a step takes besides gates, states and vectors: `more[k]`, first extra inputs, then noise made in registers.
// Nothing of it is saved: backward makes the same noise again. Cell::EXTRAS of the Cell::MORE values are extra inputs.
#pragma once
#include "layout.h"

// splitmix64: Steele, Lea & Flood, OOPSLA 2014, doi:10.1145/2660193.2660195.
static inline uint64_t scramble(uint64_t z) {
    z += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

typedef uint32_t Words __attribute__((vector_size(4 * L)));
typedef int32_t Wholes __attribute__((vector_size(4 * L)));
INLINE Words mix(Words x) {  // C. Wellons, "lowbias32", 2018
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return x ^ x >> 16;
}
// Uniform numbers in (0, 1) for the units at, at + 1, ..., exact in either precision; the same as cells/noise.py.
INLINE V uniform(uint64_t key, long at) {
    Words unit;
    for (int i = 0; i < L; i++) unit[i] = i;
    const Words v = mix(mix((unit + (uint32_t)at) * 0x9E3779B9u + (uint32_t)key) ^ (uint32_t)(key >> 32));
    return (__builtin_convertvector((Wholes)(v >> 9), V) + (real)0.5) * (real)(1.0 / (1 << 23));
}

#define MEMBER inline __attribute__((always_inline))

class More {
    const Steps steps;
    long first = 0;  // time of the call's first step in the whole sequence
    uint64_t stream[Cell::MORE + 1];
    real* sums = nullptr;  // [parts][N][EXTRAS]: gradients of extra inputs that are one number a row
    int parts = 1;

    static constexpr int EXTRAS = Cell::EXTRAS, NOISES = Cell::MORE - Cell::EXTRAS;
    static constexpr bool has_numbers() {
        for (int k = 0; k < EXTRAS; k++)
            if (Cell::extra_width(k) == 1) return true;
        return false;
    }
    Rows extra(int k) const { return {(real*)steps.a.extra[k], steps.a.extra_time[k], steps.a.extra_batch[k], steps.a.packed != 0}; }
    Rows d_extra(int k) const { return {(real*)steps.a.d_extra[k], steps.a.d_extra_time[k], steps.a.d_extra_batch[k], steps.a.packed != 0}; }
    long width(int k) const { return Cell::extra_width(k) == 1 ? 1 : steps.a.H; }

  public:
    explicit More(const Call& a) : steps(a) {
        const int64_t* seed = (const int64_t*)a.seed;
        if (NOISES) first = seed[1];
        for (int k = 0; k < NOISES; k++) stream[k] = scramble(scramble(seed[0]) ^ (uint64_t)Cell::noise_stream(k));
    }

    // Fill more[Cell::MORE] for row b (as `Steps` numbers it) at time t, units at .. at + valid, valid <= L.
    MEMBER void values(long t, long b, long at, int valid, V* more) const {
        UNROLL for (int k = 0; k < EXTRAS; k++) {
            const real* from = steps.at(extra(k), t, b);
            more[k] = Cell::extra_width(k) == 1 ? splat(*from) : valid == L ? load(from + at) : load_part(from + at, valid);
        }
        UNROLL for (int k = 0; k < NOISES; k++) {
            const uint64_t time = Cell::noise_sequence(k) ? 0xFFFFFFFFu : (uint64_t)(first + t);
            more[EXTRAS + k] = uniform(scramble(scramble(stream[k] ^ time) ^ (uint64_t)steps.place(b)), at);
        }
    }

    // Backward only. `threads`: how many may meet in one row; each then is a part of its own, else every part is 0.
    void reserve(Arena& arena, int threads) {
        parts = threads;
        sums = arena.take<real>(has_numbers() ? parts * steps.a.N * EXTRAS : 0);
    }
    // Backward, before any gradient and a barrier: sums and padding become zero.
    void begin(int rank, int size) const {
        const Call& a = steps.a;
        if (has_numbers() && !rank) memset(sums, 0, parts * a.N * EXTRAS * sizeof(real));
        if (!a.batch_sizes || a.packed) return;
        for (int k = 0; k < EXTRAS; k++)
            for (long t = rank; a.d_extra[k] && t < a.full_T; t += size)
                for (long b = t < a.T ? steps.active(t) : 0; b < a.B; b++) memset(steps.at(d_extra(k), t, b), 0, width(k) * sizeof(real));
    }
    // Take d_more[EXTRAS] of the units at .. at + valid; each unit of a row at a time comes once.
    MEMBER void gradients(int part, long t, long b, long at, int valid, const V* d_more) const {
        UNROLL for (int k = 0; k < EXTRAS; k++) {
            if (!steps.a.d_extra[k]) continue;
            if (Cell::extra_width(k) == 1) {
                real* sum = sums + (part * steps.a.N + steps.token(t, b)) * EXTRAS + k;
                for (int i = 0; i < L; i++) *sum += i < valid ? d_more[k][i] : 0;
            } else store_part(steps.at(d_extra(k), t, b) + at, d_more[k], valid);
        }
    }
    // Backward, after all gradients and a barrier: the parts are added up in a fixed order.
    void finish(int rank, int size) const {
        for (int k = 0; k < EXTRAS; k++)
            for (long t = rank; Cell::extra_width(k) == 1 && steps.a.d_extra[k] && t < steps.a.T; t += size)
                for (long b = 0; b < steps.active(t); b++) {
                    real total = 0;
                    for (int part = 0; part < parts; part++) total += sums[(part * steps.a.N + steps.token(t, b)) * EXTRAS + k];
                    *steps.at(d_extra(k), t, b) = total;
                }
    }
};
