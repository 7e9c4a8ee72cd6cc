// One layer and direction of a staged step backward in time.  What belongs to parameters is left as rows of gradients, `slots`,
// which the caller multiplies with inputs and operands.
#pragma once
#include "staged_forward.h"

struct StagedBackward {
    const Call& a;
    const Steps steps;
    const Shape k;
    const Given given;
    const Rows x, gy, dx;
    const bool rows_split;
    const int team;
    Turned inputs[Cell::GATES + 1], products[Cell::PRODUCTS + 1];
    real *vectors, *carry[2], *operands, *cross, *temps, *totals, *nowhere;
    const real** pointers;
    long chunk, per_thread;
    Barrier* barrier;

    explicit StagedBackward(const Call& call)
        : a(call), steps(call), k(call), given(call), x{(real*)a.x, a.x_time, a.x_batch, a.packed != 0},
          gy{(real*)a.gy, a.gy_time, a.gy_batch, a.packed != 0}, dx{(real*)a.dx, a.dx_time, a.dx_batch, a.packed != 0},
          rows_split(split_rows(a, team_for(a, k.flops(a), k.panels()), k.panels())), team(team_for(a, k.flops(a), k.panels())) {
        long row = 0;
        for (int i = 0; i < Cell::GATES; i++) {
            inputs[i].weight = (real*)a.w_ih + row * a.I, inputs[i].rows = k.n[Cell::gate_size(i)], inputs[i].columns = a.I;
            row += inputs[i].rows;
        }
        for (int j = 0; j < Cell::PRODUCTS; j++) {
            Turned& m = products[j];
            m.weight = (real*)a.U[j], m.heads = k.n[Cell::heads(j)];
            m.rows = k.n[Cell::rows(j)] / m.heads, m.columns = k.n[Cell::columns(j)] / m.heads;
        }
    }

    long totals_wide() const { return k.slot_at[Cell::SLOTS] + k.vector_at[Cell::VECTORS]; }

    void reserve(Arena& arena) {
        const long most = rows_split ? (a.B + team - 1) / team : a.B;
        chunk = steps_per_chunk(a, most, k.slot_at[Cell::SLOTS]);
        per_thread = 2 * chunk * (most + 8) + 8 * (most + 8);
        barrier = arena.take<Barrier>(1);
        if (a.dx)
            for (int i = 0; i < Cell::GATES; i++) inputs[i].reserve(arena);
        for (int j = 0; j < Cell::PRODUCTS; j++) products[j].reserve(arena);
        vectors = arena.take<real>(k.vector_at[Cell::VECTORS] + L);
        for (int i = 0; i < 2; i++) carry[i] = arena.take<real>(a.B * k.state_at[Cell::STATES]);
        operands = arena.take<real>(a.B * k.operand_at[Cell::OPERANDS] + 4 * L);
        cross = arena.take<real>(a.B * k.d_cross_at[Cell::D_CROSS] + L);
        temps = arena.take<real>(team * (Cell::TEMPS + 1) * k.widest);
        nowhere = arena.take<real>(team * (k.widest + padded(a.I)));
        totals = arena.take<real>(team * (totals_wide() + L));
        pointers = arena.take<const real*>(team * per_thread);
    }

    void run(int rank, int size) {
        int task = 0;
        const auto mine = [&] { return task++ % size == rank; };
        if (a.dx)
            for (int i = 0; i < Cell::GATES; i++) inputs[i].pack(mine);
        for (int j = 0; j < Cell::PRODUCTS; j++) products[j].pack(mine);
        memset(totals + rank * (totals_wide() + L), 0, totals_wide() * sizeof(real));
        if (!rank) copy_in();
        clear_padding(rank, size);
        barrier->wait(size);
        const Share share(a, rows_split, rank, size);
        const real** p = pointers + rank * per_thread;
        for (long s = a.T; s > 0;) {
            const long stop = s > chunk ? s - chunk : 0, from = s;
            for (; s > stop; s--) step(share, p, s - 1);
            if (a.dx && Cell::GATES && rows_split) input_gradient(share, p, stop, from);
        }
        barrier->wait(size);
        if (a.dx && Cell::GATES && !rows_split) shared_input_gradient(p, rank, size);
        if (rows_split || !rank) copy_out(share);
        if (!rank) add_totals(size);
    }

    void copy_in() {
        for (int i = 0; i < Cell::VECTORS; i++) memcpy(vectors + k.vector_at[i], (real*)a.vectors[i], k.n[Cell::vector_size(i)] * sizeof(real));
        for (int s = 0; s < Cell::STATES; s++)
            for (long b = 0; b < a.B; b++)
                for (int i = 0; i < 2; i++) {
                    const long n = k.n[Cell::state_size(s)];
                    real* to = carry[i] + b * k.state_at[Cell::STATES] + k.state_at[s];
                    if (a.g_last[s]) memcpy(to, (real*)a.g_last[s] + steps.place(b) * n, n * sizeof(real));
                    else memset(to, 0, n * sizeof(real));
                }
    }
    void clear_padding(int rank, int size) {
        if (!a.batch_sizes || a.packed) return;
        for (long t = rank; t < a.full_T; t += size)
            for (long b = t < a.T ? steps.active(t) : 0; b < a.B; b++) {
                if (a.dx) memset(steps.at(dx, t, b), 0, a.I * sizeof(real));
                for (int i = 0; i < Cell::EXTRAS; i++)
                    if (a.d_extra[i]) memset(extra_gradient(i, t, b), 0, k.n[Cell::extra_size(i)] * sizeof(real));
            }
    }
    real* extra_gradient(int i, long t, long b) const {
        return steps.at(Rows{(real*)a.d_extra[i], a.d_extra_time[i], a.d_extra_batch[i], a.packed != 0}, t, b);
    }
    void copy_out(const Share& share) {
        for (long i = 0; i < share.rows; i++) {
            const long b = share.row(i), last = a.reverse ? a.T - steps.length(b) : 0;  // the step done last
            for (int s = 0; s < Cell::STATES; s++) {
                const long n = k.n[Cell::state_size(s)];
                if (a.d_first[s]) memcpy((real*)a.d_first[s] + steps.place(b) * n, carry[!(last & 1)] + b * k.state_at[Cell::STATES] + k.state_at[s], n * sizeof(real));
            }
        }
    }
    void add_totals(int size) {  // in a fixed order
        for (int part = 1; part < size; part++)
            for (long i = 0; i < totals_wide(); i++) totals[i] += totals[part * (totals_wide() + L) + i];
        memcpy((real*)a.totals, totals, totals_wide() * sizeof(real));
    }

    real* slot_row(long t, long b) const { return (real*)a.slots + steps.token(t, b) * k.slot_at[Cell::SLOTS]; }

    void step(const Share& share, const real** p, long s) {
        const long t = steps.time(s), n = share.count(steps.active(t));
        for (int stage = 0; stage < Cell::BACKWARD; stage++) {
            if (!stage || !Cell::backward_empty(stage)) {
                for (long i = 0; i < n; i++)
                    if (rows_split || i % share.team == share.rank) work(share, stage, s, t, share.row(i));
                if (!rows_split) barrier->wait(share.team);
            }
            bool any = false;
            for (int o = 0; o < Cell::OPERANDS; o++)
                if (Cell::backward_round(o) == stage) any = true, multiply(share, p, o, t, n);
            if (any && !rows_split) barrier->wait(share.team);
        }
    }
    void work(const Share& share, int stage, long s, long t, long b) {
        Row r;
        r.vectors = vectors, r.saved = (real*)a.saved + steps.token(t, b) * k.saved_at[Cell::SAVED];
        real* fresh = carry[s & 1] + b * k.state_at[Cell::STATES];
        r.d_fresh = fresh, r.d_old = carry[!(s & 1)] + b * k.state_at[Cell::STATES];
        r.d_operand = operands + b * k.operand_at[Cell::OPERANDS], r.cross = nullptr, r.d_cross = cross + b * k.d_cross_at[Cell::D_CROSS];
        r.temps = temps + share.rank * (Cell::TEMPS + 1) * k.widest, r.slots = slot_row(t, b);
        r.totals = totals + share.rank * (totals_wide() + L), r.vector_totals = r.totals + k.slot_at[Cell::SLOTS];
        real* aside = nowhere + share.rank * (k.widest + padded(a.I));
        r.d_raw = a.dx ? steps.at(dx, t, b) : aside;
        for (int i = 0; i < Cell::EXTRAS; i++) r.d_extra[i] = a.d_extra[i] ? extra_gradient(i, t, b) : aside;
        given.fill(r, t, b);
        if (!stage && a.gy) {
            const real* from = steps.at(gy, t, b);
            const long n = k.n[Cell::state_size(0)];
            for (long at = 0; at < n; at += L) store(fresh + at, load(fresh + at) + load_upto(from + at, n - at));
        }
        Step::backward(stage, r, k, k.n);
    }
    void multiply(const Share& share, const real** p, int o, long t, long n) {
        const real** in = p;
        real** out = (real**)(p + (share.rows + 8));
        const int rank = rows_split ? 0 : share.rank, team = rows_split ? 1 : share.team;
        for (long i = 0; i < n; i++) out[i] = operands + share.row(i) * k.operand_at[Cell::OPERANDS] + k.operand_at[o];
        bool first = true, alike = true;
        for (int j = 0, heads = 0; j < Cell::PRODUCTS; j++)
            if (Cell::product_operand(j) == o) alike &= !heads || heads == products[j].heads, heads = products[j].heads;
        for (int j = 0; j < Cell::PRODUCTS; j++) {
            if (Cell::product_operand(j) != o) continue;
            for (long i = 0; i < n; i++) in[i] = slot_row(t, share.row(i)) + k.slot_at[Cell::product_slot(j)];
            // a thread has the same columns of every product of an operand: they are cut alike when the heads are
            const long tasks = products[j].tasks(), low = alike ? tasks * rank / team : 0, high = alike ? tasks * (rank + 1) / team : rank ? 0 : tasks;
            products[j].apply(in, out, n, !first, products[j].heads > 1, low, high);
            first = false;
        }
    }

    void input_rows(const real** in, real** out, long m) {
        for (int i = 0; i < Cell::GATES; i++) {
            const long at = k.slot_at[Cell::gate_slot(i)];
            for (long r = 0; r < m; r++) in[r] += at;
            inputs[i].apply(in, out, m, i > 0 || Cell::RAW, true, 0, inputs[i].tasks());
            for (long r = 0; r < m; r++) in[r] -= at;
        }
    }
    void input_gradient(const Share& share, const real** p, long from, long stop) {
        const real** in = p;
        real** out = (real**)(p + chunk * (share.rows + 8));
        long m = 0;
        for (long s = from; s < stop; s++) {
            const long t = steps.time(s), n = share.count(steps.active(t));
            for (long i = 0; i < n; i++, m++) in[m] = slot_row(t, share.row(i)), out[m] = steps.at(dx, t, share.row(i));
        }
        input_rows(in, out, m);
    }
    void shared_input_gradient(const real** p, int rank, int size) {
        const real** in = p;
        real** out = (real**)(p + chunk * (a.B + 8));
        for (long t0 = a.T * rank / size, end = a.T * (rank + 1) / size; t0 < end; t0 += chunk) {
            long m = 0;
            for (long t = t0; t < t0 + chunk && t < end; t++)
                for (long b = 0; b < steps.active(t); b++, m++) in[m] = slot_row(t, b), out[m] = steps.at(dx, t, b);
            input_rows(in, out, m);
        }
    }
};

extern "C" int gatework_backward(const Call* call) { return perform<StagedBackward>(*call); }
