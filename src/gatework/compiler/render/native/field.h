// One time step of a cell over a field: each of `images` x `places` positions has its own state of C channels, and the
// recurrent products have been made by a convolution before. `struct Field` and `struct Cell` are generated.
#pragma once
#include "threads.h"
#include "vector.h"

// Rows are positions, channels lie side by side. Threads own places, so that a vector of each place has one writer.
struct FieldStep {
    const Field& a;
    explicit FieldStep(const Field& field) : a(field) {}

    long row(long i, long place) const { return i * a.places + place; }
    const real* vector(int v, long place) const { return (const real*)a.vectors[v] + (a.vector_places > 1 ? place * a.C : 0); }

    template <class F> void each(int rank, int size, F work) const {
        const long first = a.places * rank / size, last = a.places * (rank + 1) / size, whole_part = a.C / L * L;
        for (long i = 0; i < a.images; i++)
            for (long place = first; place < last; place++) {
                for (long at = 0; at < whole_part; at += L) work(i, place, at, std::true_type{});
                if (whole_part < a.C) work(i, place, whole_part, std::false_type{});
            }
    }
    template <bool FULL> V get(const real* p, long at) const { return FULL ? load(p + at) : load_part(p + at, a.C - at); }
    template <bool FULL> void put(real* p, long at, V v) const {
        if (FULL) store(p + at, v);
        else store_part(p + at, v, a.C - at);
    }

    template <bool FULL> void forward(long i, long place, long at) const {
        const long r = row(i, place);
        V gate[Cell::GATES + 1], sum[Cell::PRODUCTS + 1], old[Cell::STATES], vec[Cell::VECTORS + 1], fresh[Cell::STATES], save[Cell::SAVED + 1];
        UNROLL for (int g = 0; g < Cell::GATES; g++) gate[g] = get<FULL>((const real*)a.gate + (r * Cell::GATES + g) * a.C, at);
        UNROLL for (int p = 0; p < Cell::PRODUCTS; p++) sum[p] = get<FULL>((const real*)a.sum[p] + r * a.sum_row[p], at);
        UNROLL for (int s = 0; s < Cell::STATES; s++) old[s] = get<FULL>((const real*)a.old[s] + r * a.C, at);
        UNROLL for (int v = 0; v < Cell::VECTORS; v++) vec[v] = get<FULL>(vector(v, place), at);
        Cell::forward(gate, sum, old, vec, nullptr, fresh, save);
        UNROLL for (int s = 0; s < Cell::STATES; s++) put<FULL>((real*)a.fresh[s] + r * a.C, at, fresh[s]);
        if (a.saved)
            UNROLL for (int k = 0; k < Cell::SAVED; k++) put<FULL>((real*)a.saved + (r * Cell::SAVED + k) * a.C, at, save[k]);
    }

    // carry: gradient of the new states in, of the old states (without the products' part) out.
    template <bool FULL> void backward(int rank, long i, long place, long at) const {
        const long r = row(i, place);
        V save[Cell::SAVED + 1], old[Cell::STATES], fresh[Cell::STATES], vec[Cell::VECTORS + 1];
        V d_fresh[Cell::STATES], d[Cell::SLOTS + 1], d_old[Cell::STATES], d_vec[Cell::VECTORS + 1];
        UNROLL for (int k = 0; k < Cell::SAVED; k++) save[k] = get<FULL>((const real*)a.saved + (r * Cell::SAVED + k) * a.C, at);
        UNROLL for (int v = 0; v < Cell::VECTORS; v++) vec[v] = get<FULL>(vector(v, place), at);
        UNROLL for (int s = 0; s < Cell::STATES; s++) {
            if (Cell::needs_old(s)) old[s] = get<FULL>((const real*)a.old[s] + r * a.C, at);
            if (Cell::needs_new(s)) fresh[s] = get<FULL>((const real*)a.fresh[s] + r * a.C, at);
            d_fresh[s] = get<FULL>((const real*)a.carry[s] + r * a.C, at);
            if (i < a.linked[s]) d_fresh[s] += get<FULL>((const real*)a.link[s] + r * a.C, at);
        }
        if (a.gy) d_fresh[0] += get<FULL>((const real*)a.gy + r * a.C, at);
        Cell::backward(save, old, fresh, vec, nullptr, d_fresh, d, d_old, d_vec, nullptr);
        UNROLL for (int k = 0; k < Cell::SLOTS; k++) {
            const int g = Cell::slot_gate(k), p = Cell::slot_product(k);
            if (g >= 0) put<FULL>((real*)a.d_gate + (r * Cell::GATES + g) * a.C, at, d[k]);
            if (p >= 0 && a.d_sum[p]) put<FULL>((real*)a.d_sum[p] + r * a.sum_row[p], at, d[k]);
        }
        UNROLL for (int s = 0; s < Cell::STATES; s++) put<FULL>((real*)a.carry[s] + r * a.C, at, d_old[s]);
        UNROLL for (int v = 0; v < Cell::VECTORS; v++) {
            const long part = a.vector_places > 1 ? place : rank;
            real* total = (real*)a.d_vectors + (part * Cell::VECTORS + v) * a.C;
            put<FULL>(total, at, get<FULL>(total, at) + d_vec[v]);
        }
    }
};

extern "C" void gatework_field_forward(const Field* field) {
    const FieldStep step(*field);
    on_team(field->threads, [&](int rank, int size) {
        step.each(rank, size, [&](long i, long place, long at, auto full) { step.forward<decltype(full)::value>(i, place, at); });
    });
}
extern "C" void gatework_field_backward(const Field* field) {
    const FieldStep step(*field);
    on_team(field->threads, [&](int rank, int size) {
        step.each(rank, size, [&](long i, long place, long at, auto full) { step.backward<decltype(full)::value>(rank, i, place, at); });
    });
}
