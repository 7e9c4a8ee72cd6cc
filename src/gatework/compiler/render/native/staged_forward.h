// One layer and direction of a staged step forward in time.
#pragma once
#include "staged.h"

struct StagedForward {
    const Call& a;
    const Steps steps;
    const Shape k;
    const Given given;
    const Rows x, y;
    const bool few;  // a few rows in all: packing the weights would cost more than the products
    const bool rows_split;
    const int team;
    Packed inputs, groups[Cell::GROUPS + 1];
    real *vectors, *gates, *states[2], *sums[2], *saved, *cross, *temps, *nowhere;
    long own;  // rows of what each thread has for itself when units are divided, so that only products are shared
    const real** pointers;
    long chunk, per_thread;
    Barrier* barrier;

    explicit StagedForward(const Call& call)
        : a(call), steps(call), k(call), given(call), x{(real*)a.x, a.x_time, a.x_batch, a.packed != 0},
          y{(real*)a.y, a.y_time, a.y_batch, a.packed != 0}, few(a.T * a.B <= 2),
          rows_split(Shape::rows_split(a) || k.team(a) == 1), team(k.team(a)) {
        inputs.K = a.I;
        long row = 0;
        for (int i = 0; i < Cell::GATES; i++) {
            inputs.add((real*)a.w_ih + row * a.I, a.b_ih ? (real*)a.b_ih + row : nullptr, k.n[Cell::gate_size(i)]);
            row += k.n[Cell::gate_size(i)];
        }
        for (int g = 0; g < Cell::GROUPS; g++)
            for (int j = Cell::group_first(g); j < Cell::group_first(g + 1); j++) {
                groups[g].heads = k.n[Cell::heads(j)], groups[g].K = k.n[Cell::columns(j)] / groups[g].heads;
                groups[g].add((real*)a.U[j], (real*)a.b_hh[j], k.n[Cell::rows(j)]);
            }
    }

    void reserve(Arena& arena) {
        const long most = rows_split ? (a.B + team - 1) / team : a.B;
        chunk = Cell::GATES ? steps_per_chunk(a, most, k.gate_at[Cell::GATES]) : a.T;
        per_thread = 2 * (Cell::GATES ? chunk : 1) * (most + 8) + 8 * (most + 8);
        barrier = arena.take<Barrier>(1);
        inputs.reserve(arena, !few);
        for (int g = 0; g < Cell::GROUPS; g++) groups[g].reserve(arena, !few);
        vectors = arena.take<real>(k.vector_at[Cell::VECTORS] + L);
        gates = arena.take<real>((Cell::GATES ? chunk : 1) * a.B * k.gate_at[Cell::GATES] + 4 * L);
        own = rows_split ? 0 : a.B;
        const long copies = rows_split ? a.B : team * a.B;
        for (int i = 0; i < 2; i++) states[i] = arena.take<real>(copies * k.state_at[Cell::STATES]);
        for (int i = 0; i < 2; i++) sums[i] = arena.take<real>(a.B * k.sum_at[Cell::PRODUCTS] + 4 * L);
        saved = arena.take<real>(copies * k.saved_at[Cell::SAVED] + L);
        cross = arena.take<real>(copies * k.cross_at[Cell::CROSS] + L);
        nowhere = arena.take<real>(team * k.widest);
        temps = arena.take<real>(team * (Cell::TEMPS + 1) * k.widest);
        pointers = arena.take<const real*>(team * per_thread);
    }

    void run(int rank, int size) {
        int task = 0;
        const auto mine = [&] { return task++ % size == rank; };
        if (!few) {
            inputs.pack(mine, true);
            for (int g = 0; g < Cell::GROUPS; g++) groups[g].pack(mine, true);
        }
        if (!rank) copy_vectors();
        if (!rows_split || !rank) copy_in(rank);
        clear_padding(rank, size);
        barrier->wait(size);
        const Share share(a, rows_split, rank, size);
        const real** p = pointers + rank * per_thread;
        for (long s = 0; s < a.T; s++) {
            if (Cell::GATES && s % chunk == 0) {
                if (!rows_split && s) barrier->wait(size);
                project(share, p, s, s + chunk < a.T ? s + chunk : a.T);
                if (!rows_split) barrier->wait(size);
            }
            step(share, p, s);
        }
        if (rows_split || !rank) copy_out(share);
    }

    void copy_vectors() const {
        for (int i = 0; i < Cell::VECTORS; i++) memcpy(vectors + k.vector_at[i], (real*)a.vectors[i], k.n[Cell::vector_size(i)] * sizeof(real));
    }
    void copy_in(int rank) const {
        for (int s = 0; s < Cell::STATES; s++)
            for (long b = 0; b < a.B; b++)
                for (int i = 0; i < 2; i++) {
                    const long n = k.n[Cell::state_size(s)];
                    memcpy(state_row(i, rank, b) + k.state_at[s], (real*)a.first[s] + steps.place(b) * n, n * sizeof(real));
                }
    }
    void clear_padding(int rank, int size) {  // outputs past a row's length
        if (!a.batch_sizes || a.packed) return;
        for (long t = rank; t < a.full_T; t += size)
            for (long b = t < a.T ? steps.active(t) : 0; b < a.B; b++) memset(steps.at(y, t, b), 0, k.n[Cell::state_size(0)] * sizeof(real));
    }
    void copy_out(const Share& share) {
        for (long i = 0; i < share.rows; i++) {
            const long b = share.row(i), last = a.reverse ? a.T : steps.length(b);  // parity of the buffer written last
            for (int s = 0; s < Cell::STATES; s++) {
                const long n = k.n[Cell::state_size(s)];
                memcpy((real*)a.last[s] + steps.place(b) * n, state_row(last & 1, 0, b) + k.state_at[s], n * sizeof(real));
            }
        }
    }

    real* gate_row(long step, long b) const { return gates + (step % chunk * a.B + b) * k.gate_at[Cell::GATES]; }
    void project(const Share& share, const real** p, long from, long stop) {
        const real** in = p;
        real** out = (real**)(p + chunk * (share.rows + 8));
        long m = 0;
        for (long s = from; s < stop; s++) {
            const long t = steps.time(s), n = share.count(steps.active(t));
            for (long i = 0; i < n; i++, m++) in[m] = steps.at(x, t, share.row(i)), out[m] = gate_row(s, share.row(i));
        }
        if (few) return inputs.apply_unpacked(in, out, m, rows_split ? 0 : share.rank, rows_split ? 1 : share.team);
        const long low = rows_split ? 0 : m * share.rank / share.team, high = rows_split ? m : m * (share.rank + 1) / share.team;
        inputs.apply(in + low, out + low, high - low, 0, inputs.tasks());
    }

    real* state_row(int parity, int rank, long b) const { return states[parity] + (rank * own + b) * k.state_at[Cell::STATES]; }
    bool writes(int rank) const { return rows_split || !rank; }  // of several threads that do the same work, one keeps it
    real* saved_row(int rank, long t, long b) const {
        const long wide = k.saved_at[Cell::SAVED];
        return a.train && writes(rank) ? (real*)a.saved + steps.token(t, b) * wide : saved + (rank * own + b) * wide;
    }

    void step(const Share& share, const real** p, long s) {
        const long t = steps.time(s), n = share.count(steps.active(t));
        for (int stage = 0; stage < Cell::FORWARD; stage++) {
            for (long i = 0; i < n && !Cell::forward_empty(stage); i++) work(share.rank, stage, s, t, share.row(i));
            bool any = false;
            for (int g = 0; g < Cell::GROUPS; g++)
                if (Cell::forward_round(Cell::group_operand(g)) == stage) any = true, multiply(share, p, g, s, t, n);
            if (any && !rows_split) barrier->wait(share.team);
        }
    }
    void work(int rank, int stage, long s, long t, long b) const {
        Row r;
        r.gates = gate_row(s, b), r.vectors = vectors;
        r.old = state_row(s & 1, rank, b), r.fresh = state_row(!(s & 1), rank, b);
        r.sums = sums[s & 1] + b * k.sum_at[Cell::PRODUCTS], r.saved = saved_row(rank, t, b);
        r.cross = cross + (rank * own + b) * k.cross_at[Cell::CROSS], r.temps = temps + rank * (Cell::TEMPS + 1) * k.widest;
        r.y = writes(rank) ? steps.at(y, t, b) : nowhere + rank * k.widest;
        given.fill(r, t, b);
        if (a.train) Step::train(stage, r, k, k.n);
        else Step::infer(stage, r, k, k.n);
    }
    void multiply(const Share& share, const real** p, int g, long s, long t, long n) {
        const real** in = p;
        real** out = (real**)(p + (share.rows + 8));
        const int o = Cell::group_operand(g), index = Cell::operand_index(o);
        for (long i = 0; i < n; i++) {
            const long b = share.row(i);
            in[i] = Cell::operand_kind(o) == 0   ? state_row(s & 1, share.rank, b) + k.state_at[index]
                    : Cell::operand_kind(o) == 1 ? steps.at(x, t, b)
                                                 : saved_row(share.rank, t, b) + k.saved_at[index];
            out[i] = sums[s & 1] + b * k.sum_at[Cell::PRODUCTS] + k.sum_at[Cell::group_first(g)];
        }
        const int rank = rows_split ? 0 : share.rank, team = rows_split ? 1 : share.team;
        if (few) return groups[g].apply_unpacked(in, out, n, rank, team);
        const long tasks = groups[g].tasks();
        groups[g].apply(in, out, n, tasks * rank / team, tasks * (rank + 1) / team);
    }
};

extern "C" int gatework_forward(const Call* call) { return perform<StagedForward>(*call); }
