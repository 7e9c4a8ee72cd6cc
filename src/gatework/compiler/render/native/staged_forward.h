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
    real *vectors, *gates, *states[2], *sums, *saved, *cross, *temps;
    const real** pointers;
    long chunk, per_thread;
    Barrier* barrier;

    explicit StagedForward(const Call& call)
        : a(call), steps(call), k(call), given(call), x{(real*)a.x, a.x_time, a.x_batch, a.packed != 0},
          y{(real*)a.y, a.y_time, a.y_batch, a.packed != 0}, few(a.T * a.B <= 2),
          rows_split(split_rows(a, team_for(a, k.flops(a), k.panels()), k.panels())), team(team_for(a, k.flops(a), k.panels())) {
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
        for (int i = 0; i < 2; i++) states[i] = arena.take<real>(a.B * k.state_at[Cell::STATES]);
        sums = arena.take<real>(a.B * k.sum_at[Cell::PRODUCTS] + 4 * L);
        saved = arena.take<real>(a.train ? 0 : a.B * k.saved_at[Cell::SAVED] + L);
        cross = arena.take<real>(a.B * k.cross_at[Cell::CROSS] + L);
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
        if (!rank) copy_in();
        clear_padding(rank, size);
        barrier->wait(size);
        const Share share(a, rows_split, rank, size);
        const real** p = pointers + rank * per_thread;
        for (long s = 0; s < a.T; s++) {
            if (Cell::GATES && s % chunk == 0) {
                project(share, p, s, s + chunk < a.T ? s + chunk : a.T);
                if (!rows_split) barrier->wait(size);
            }
            step(share, p, s);
        }
        if (rows_split || !rank) copy_out(share);
    }

    void copy_in() {
        for (int i = 0; i < Cell::VECTORS; i++) memcpy(vectors + k.vector_at[i], (real*)a.vectors[i], k.n[Cell::vector_size(i)] * sizeof(real));
        for (int s = 0; s < Cell::STATES; s++)
            for (long b = 0; b < a.B; b++)
                for (int i = 0; i < 2; i++) {
                    const long n = k.n[Cell::state_size(s)];
                    memcpy(states[i] + b * k.state_at[Cell::STATES] + k.state_at[s], (real*)a.first[s] + steps.place(b) * n, n * sizeof(real));
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
                memcpy((real*)a.last[s] + steps.place(b) * n, states[last & 1] + b * k.state_at[Cell::STATES] + k.state_at[s], n * sizeof(real));
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

    real* saved_row(long t, long b) const { return a.train ? (real*)a.saved + steps.token(t, b) * k.saved_at[Cell::SAVED] : saved + b * k.saved_at[Cell::SAVED]; }

    void step(const Share& share, const real** p, long s) {
        const long t = steps.time(s), n = share.count(steps.active(t));
        for (int stage = 0; stage < Cell::FORWARD; stage++) {
            if (!Cell::forward_empty(stage)) {
                for (long i = 0; i < n; i++)
                    if (rows_split || i % share.team == share.rank) work(share, stage, s, t, share.row(i));
                if (!rows_split) barrier->wait(share.team);
            }
            bool any = false;
            for (int g = 0; g < Cell::GROUPS; g++)
                if (Cell::forward_round(Cell::group_operand(g)) == stage) any = true, multiply(share, p, g, s, t, n);
            if (any && !rows_split) barrier->wait(share.team);
        }
    }
    void work(const Share& share, int stage, long s, long t, long b) {
        Row r;
        r.gates = gate_row(s, b), r.vectors = vectors;
        r.old = states[s & 1] + b * k.state_at[Cell::STATES], r.fresh = states[!(s & 1)] + b * k.state_at[Cell::STATES];
        r.sums = sums + b * k.sum_at[Cell::PRODUCTS], r.saved = saved_row(t, b), r.cross = cross + b * k.cross_at[Cell::CROSS];
        r.temps = temps + share.rank * (Cell::TEMPS + 1) * k.widest, r.y = steps.at(y, t, b);
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
            in[i] = Cell::operand_kind(o) == 0   ? states[s & 1] + b * k.state_at[Cell::STATES] + k.state_at[index]
                    : Cell::operand_kind(o) == 1 ? steps.at(x, t, b)
                                                 : saved_row(t, b) + k.saved_at[index];
            out[i] = sums + b * k.sum_at[Cell::PRODUCTS] + k.sum_at[Cell::group_first(g)];
        }
        const int rank = rows_split ? 0 : share.rank, team = rows_split ? 1 : share.team;
        if (few) return groups[g].apply_unpacked(in, out, n, rank, team);
        const long tasks = groups[g].tasks();
        groups[g].apply(in, out, n, tasks * rank / team, tasks * (rank + 1) / team);
    }
};

extern "C" int gatework_forward(const Call* call) { return perform<StagedForward>(*call); }
