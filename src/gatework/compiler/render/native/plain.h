// How numbers are kept for the products of forward: as they are. A coding says what tensors hold, what a word of a panel
// and of a row on the left of a product is, and what two words give; a word is as long as a `real`.
#pragma once
#include "tile.h"
#define TILE gatework_tile

struct Coding {
    typedef real Stored;  // of inputs, outputs, states, biases and vectors
    typedef real Weight;
    static constexpr int FACTS = 1;  // arrays of numbers that belong to columns; the first are biases

    static long words(long K) { return K; }
    static long room(long) { return 0; }
    // The words of a row of K numbers: made in `room(K)` numbers, or where they lie.
    static const real* row(real*, const real* from, long) { return from; }
    static void pack(real* to, long step, const Weight* matrix, long stride, long columns, long K) {
        pack_transposed(to, step, matrix, stride, columns, K);
    }
    // One vector of columns' facts; the arrays are `apart`.  n columns are there; bias may be null.
    static void facts(real* to, long, const Stored* bias, const real*, long n) {
        store(to, bias && n > 0 ? load_part(bias, n < L ? n : L) : V{});
    }
    INLINE V left(const real* word) { return splat(*word); }
    INLINE V meet(V sum, V left, V right) { return sum + left * right; }
    // c[r][kc..] = facts + row r . panel
    static void multiply(const real* const* rows, const real* panel, int vectors, long K, const real* facts, long,
                         real* const* c, long kc, long n) {
        product(rows, 0, panel, vectors, K, facts, c, kc, n);
    }
    static V one(const Weight* matrix, long stride, int n, const real* row, long K, const Stored* bias, const real*) {
        const V sum = dots(matrix, stride, n, row, K);
        return bias ? sum + read(bias, n) : sum;
    }
    static V read(const Stored* from, int n) { return n == L ? load(from) : load_part(from, n); }
    static void write(Stored* to, V v, int n) {
        if (n == L) store(to, v);
        else store_part(to, v, n);
    }
};
