// One layer and direction of a staged step backward in time, then the gradients of the weights.
#pragma once
#include "outer.h"

struct StagedBackward {
    const Call& a;
    const Steps steps;
    const Shape k;
    const Given given;
    const Rows x, gy, dx;
    const bool rows_split;
    const int team;
    Turned inputs[Cell::GATES + 1], products[Cell::PRODUCTS + 1];
    real *vectors, *carry[2], *operands[2], *cross, *own_slots, *temps, *totals, *nowhere, *slots, *scratch;
    const real **pointers, **tokens_at;
    long chunk, per_thread, scratch_wide, own;
    Barrier* barrier;

    explicit StagedBackward(const Call& call)
        : a(call), steps(call), k(call), given(call), x{(real*)a.x, a.x_time, a.x_batch, a.packed != 0},
          gy{(real*)a.gy, a.gy_time, a.gy_batch, a.packed != 0}, dx{(real*)a.dx, a.dx_time, a.dx_batch, a.packed != 0},
          rows_split(Shape::rows_split(a) || k.team(a) == 1), team(k.team(a)) {
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
        own = rows_split ? 0 : a.B;
        const long copies = rows_split ? a.B : team * a.B;
        for (int i = 0; i < 2; i++) carry[i] = arena.take<real>(copies * k.state_at[Cell::STATES]);
        for (int i = 0; i < 2; i++) operands[i] = arena.take<real>(a.B * k.operand_at[Cell::OPERANDS] + 4 * L);
        cross = arena.take<real>(copies * k.d_cross_at[Cell::D_CROSS] + L);
        own_slots = arena.take<real>(rows_split ? 0 : copies * k.slot_at[Cell::SLOTS] + L);
        temps = arena.take<real>(team * (Cell::TEMPS + 1) * k.widest);
        nowhere = arena.take<real>(team * (k.widest + padded(a.I)));
        totals = arena.take<real>(team * (totals_wide() + L));
        slots = arena.take<real>(a.N * k.slot_at[Cell::SLOTS] + 16);
        scratch_wide = a.dU[0] || a.dw_ih ? Outer::room(a.I) : 0;
        for (int j = 0; a.dU[0] && j < Cell::PRODUCTS; j++) {
            const long wide = Outer::room(products[j].columns);
            scratch_wide = wide > scratch_wide ? wide : scratch_wide;
        }
        scratch = arena.take<real>(team * scratch_wide);
        tokens_at = arena.take<const real*>(a.dU[0] || a.dw_ih ? a.N : 0);
        pointers = arena.take<const real*>(team * per_thread);
    }

    void run(int rank, int size) {
        int task = 0;
        const auto mine = [&] { return task++ % size == rank; };
        if (a.dx)
            for (int i = 0; i < Cell::GATES; i++) inputs[i].pack(mine);
        for (int j = 0; j < Cell::PRODUCTS; j++) products[j].pack(mine);
        memset(totals + rank * (totals_wide() + L), 0, totals_wide() * sizeof(real));
        if (!rank) copy_vectors();
        if (!rows_split || !rank) copy_in(rank);
        if (a.dU[0] || a.dw_ih)
            for (long t = rank; t < a.T; t += size)
                for (long b = 0; b < steps.active(t); b++) tokens_at[steps.token(t, b)] = steps.at(x, t, b);
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
        weights(rank, size);
        if (!rank) add_totals(size);
    }

    void copy_vectors() const {
        for (int i = 0; i < Cell::VECTORS; i++) memcpy(vectors + k.vector_at[i], (real*)a.vectors[i], k.n[Cell::vector_size(i)] * sizeof(real));
    }
    void copy_in(int rank) const {
        for (int s = 0; s < Cell::STATES; s++)
            for (long b = 0; b < a.B; b++)
                for (int i = 0; i < 2; i++) {
                    const long n = k.n[Cell::state_size(s)];
                    real* to = carry_row(i, rank, b) + k.state_at[s];
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
                if (a.d_first[s]) memcpy((real*)a.d_first[s] + steps.place(b) * n, carry_row(!(last & 1), 0, b) + k.state_at[s], n * sizeof(real));
            }
        }
    }
    void add_totals(int size) {  // gradients of biases and vectors: the threads' totals added in a fixed order
        for (int part = 1; rows_split && part < size; part++)
            for (long i = 0; i < totals_wide(); i++) totals[i] += totals[part * (totals_wide() + L) + i];
        for (int i = 0, row = 0; i < Cell::GATES; row += k.n[Cell::gate_size(i++)])
            if (a.db_ih) memcpy((real*)a.db_ih + row, totals + k.slot_at[Cell::gate_slot(i)], k.n[Cell::gate_size(i)] * sizeof(real));
        for (int j = 0; j < Cell::PRODUCTS; j++)
            if (a.db_hh[j]) copy_row((real*)a.db_hh[j], totals + k.slot_at[Cell::product_slot(j)], k.n[Cell::rows(j)], Cell::again(j));
        for (int i = 0; i < Cell::VECTORS; i++)
            if (a.d_vectors[i]) memcpy((real*)a.d_vectors[i], totals + k.slot_at[Cell::SLOTS] + k.vector_at[i], k.n[Cell::vector_size(i)] * sizeof(real));
    }

    real* carry_row(int parity, int rank, long b) const { return carry[parity] + (rank * own + b) * k.state_at[Cell::STATES]; }
    bool writes(int rank) const { return rows_split || !rank; }
    real* slot_row(long t, long b) const { return slots + steps.token(t, b) * k.slot_at[Cell::SLOTS]; }
    real* slot_row(int rank, long t, long b) const {
        return writes(rank) ? slot_row(t, b) : own_slots + (rank * own + b) * k.slot_at[Cell::SLOTS];
    }

    void step(const Share& share, const real** p, long s) {
        const long t = steps.time(s), n = share.count(steps.active(t));
        for (int stage = 0; stage < Cell::BACKWARD; stage++) {
            for (long i = 0; i < n && !(stage && Cell::backward_empty(stage)); i++) work(share.rank, stage, s, t, share.row(i));
            bool any = false;
            for (int o = 0; o < Cell::OPERANDS; o++)
                if (Cell::backward_round(o) == stage) any = true, multiply(share, p, o, s, t, n);
            if (any && !rows_split) barrier->wait(share.team);
        }
    }
    void work(int rank, int stage, long s, long t, long b) const {
        Row r;
        r.vectors = vectors, r.saved = (real*)a.saved + steps.token(t, b) * k.saved_at[Cell::SAVED];
        real* fresh = carry_row(s & 1, rank, b);
        r.d_fresh = fresh, r.d_old = carry_row(!(s & 1), rank, b);
        r.d_operand = operands[s & 1] + b * k.operand_at[Cell::OPERANDS], r.cross = nullptr;
        r.d_cross = cross + (rank * own + b) * k.d_cross_at[Cell::D_CROSS];
        r.temps = temps + rank * (Cell::TEMPS + 1) * k.widest, r.slots = slot_row(rank, t, b);
        r.totals = totals + rank * (totals_wide() + L), r.vector_totals = r.totals + k.slot_at[Cell::SLOTS];
        real* aside = nowhere + rank * (k.widest + padded(a.I));
        r.d_raw = a.dx && writes(rank) ? steps.at(dx, t, b) : aside;
        for (int i = 0; i < Cell::EXTRAS; i++) r.d_extra[i] = a.d_extra[i] && writes(rank) ? extra_gradient(i, t, b) : aside;
        given.fill(r, t, b);
        if (!stage && a.gy) {
            const real* from = steps.at(gy, t, b);
            const long n = k.n[Cell::state_size(0)];
            for (long at = 0; at < n; at += L) store(fresh + at, load(fresh + at) + load_upto(from + at, n - at));
        }
        Step::backward(stage, r, k, k.n);
    }
    void multiply(const Share& share, const real** p, int o, long s, long t, long n) {
        const real** in = p;
        real** out = (real**)(p + (share.rows + 8));
        const int rank = rows_split ? 0 : share.rank, team = rows_split ? 1 : share.team;
        for (long i = 0; i < n; i++) out[i] = operands[s & 1] + share.row(i) * k.operand_at[Cell::OPERANDS] + k.operand_at[o];
        bool first = true, alike = true;
        for (int j = 0, heads = 0; j < Cell::PRODUCTS; j++)
            if (Cell::product_operand(j) == o) alike &= !heads || heads == products[j].heads, heads = products[j].heads;
        for (int j = 0; j < Cell::PRODUCTS; j++) {
            if (Cell::product_operand(j) != o) continue;
            for (long i = 0; i < n; i++) in[i] = slot_row(share.rank, t, share.row(i)) + k.slot_at[Cell::product_slot(j)];
            // a thread has the same columns of every product of an operand: they are cut alike when the heads are
            const long tasks = products[j].tasks(), low = alike ? tasks * rank / team : 0, high = alike ? tasks * (rank + 1) / team : rank ? 0 : tasks;
            products[j].apply(in, out, n, !first, products[j].heads > 1, low, high);
            first = false;
        }
    }

    void weights(int rank, int size) const {
        real* room = scratch + rank * scratch_wide;
        Outer::Entry entries[Packed::MOST];
        const auto of_tokens = [&](long n) { return tokens_at[n]; };
        long row = 0;
        for (int i = 0; i < Cell::GATES; i++) {
            entries[i] = {k.slot_at[Cell::gate_slot(i)], inputs[i].rows, (real*)a.dw_ih + row * a.I, false};
            row += inputs[i].rows;
        }
        if (a.dw_ih && Cell::GATES) Outer::multiply(of_tokens, a.I, a.N, slots, k.slot_at[Cell::SLOTS], entries, Cell::GATES, room, rank, size);
        if (!a.dU[0]) return;
        for (int g = 0; g < Cell::GROUPS; g++) {
            const int first = Cell::group_first(g), o = Cell::group_operand(g);
            for (long q = 0; q < products[first].heads; q++) {
                int count = 0;
                for (int j = first; j < Cell::group_first(g + 1); j++)
                    entries[count++] = {k.slot_at[Cell::product_slot(j)] + q * products[j].rows, products[j].rows,
                                        (real*)a.dU[j] + q * products[j].rows * products[j].columns, Cell::again(j) != 0};
                const long columns = products[first].columns, at = q * columns;
                const auto of_operand = [&](long n) {
                    return Cell::operand_kind(o) == 1 ? tokens_at[n] + at : (real*)a.saved + n * k.saved_at[Cell::SAVED] + k.saved_at[Cell::operand_saved(o)] + at;
                };
                Outer::multiply(of_operand, columns, a.N, slots, k.slot_at[Cell::SLOTS], entries, count, room, rank, size);
            }
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
