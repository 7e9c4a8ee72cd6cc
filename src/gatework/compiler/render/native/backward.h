// One layer and direction backward in time, then the gradients of the weights.
#pragma once
#include "forward.h"

struct Backward {
    const Call& a;
    const Steps steps;
    More more;
    const Rows x, y, gy, dx;
    const int HV;
    const Panels units, inputs;  // columns of the state gradient and of the input gradient
    const long HP;               // floats of one slot of `slots`
    const bool rows_split;
    const int team;
    // slots [N][Cell::SLOTS][HP]: gradients of input products and of recurrent products; many serve as both
    real *slots, *UT, *W, *vectors, *buffer, *totals, *carry[Cell::STATES], *packed;
    const real** pointers;
    long chunk, tokens, per_thread, per_packed;
    Barrier* barrier;

    static constexpr long TOKEN_BLOCK = 256, COLUMN_BLOCK = 1024, COLUMN_ROOM = COLUMN_BLOCK + (Cell::STATES + 2) * 4 * L;
    static constexpr int TOTALS = Cell::SLOTS + Cell::VECTORS;

    explicit Backward(const Call& call)
        : a(call), steps(call), more(call), x{(real*)a.x, a.x_time, a.x_batch, a.packed != 0}, y{(real*)a.y, a.y_time, a.y_batch, a.packed != 0},
          gy{(real*)a.gy, a.gy_time, a.gy_batch, a.packed != 0}, dx{(real*)a.dx, a.dx_time, a.dx_batch, a.packed != 0},
          HV((a.H + L - 1) / L), units(HV), inputs((a.I + L - 1) / L), HP(units.padded * (long)L),
          rows_split(split_rows(a, team_for(a, flops(), units.count), units.count)), team(team_for(a, flops(), units.count)) {}

    double flops() const { return 2.0 * a.B * a.H * (Cell::PRODUCTS * a.H + Cell::GATES * a.I); }
    long slot_row() const { return Cell::SLOTS * HP; }

    void reserve(Arena& arena) {
        const long most = rows_split ? (a.B + team - 1) / team : a.B;
        chunk = steps_per_chunk(a, most, slot_row());
        if (a.progress && chunk > SIDE_BY_SIDE) chunk = SIDE_BY_SIDE;
        tokens = chunk * most;
        per_thread = 2 * tokens + 8 * (most + 8) + TOKEN_BLOCK * 2;
        per_packed = TOKEN_BLOCK * (COLUMN_ROOM + 8) + 64;
        barrier = arena.take<Barrier>(1);
        slots = arena.take<real>(a.N * slot_row() + 16);
        UT = arena.take<real>(Cell::PRODUCTS * HP * HP);
        W = arena.take<real>(a.dx ? Cell::GATES * HP * inputs.padded * L : 0);
        vectors = arena.take<real>((Cell::VECTORS + 1) * HP);
        buffer = arena.take<real>(team * (rows_split ? most : a.B) * Cell::STATES * 4 * L);
        totals = arena.take<real>((rows_split ? team : 1) * TOTALS * HP);
        packed = arena.take<real>(team * per_packed);
        pointers = arena.take<const real*>(team * per_thread);
        for (int s = 0; s < Cell::STATES; s++) carry[s] = arena.take<real>(a.B * HP);
        more.reserve(arena, rows_split ? 1 : team);
    }

    void pack(int rank, int size) {
        int task = 0;
        const auto mine = [&] { return task++ % size == rank; };
        for (int s = 0; s < Cell::STATES; s++)
            for (int p = 0; p < units.count; p++)
                for (int i = 0; i < Cell::operand_slots(s); i++)
                    if (mine()) {
                        const real* U = (real*)a.U[Cell::slot_product(Cell::operand_slot(s) + i)];
                        real* to = state_panel(s, p) + i * HP * units.width(p) * L;
                        const long first = units.first(p) * (long)L;
                        pack_rows(to, units.width(p), U + first, a.H, a.H - first, a.H);
                        memset(to + a.H * units.width(p) * L, 0, (HP - a.H) * units.width(p) * L * sizeof(real));
                    }
        if (a.dx)
            for (int p = 0; p < inputs.count; p++)
                for (int i = 0; i < Cell::GATES; i++)
                    if (mine()) {
                        const long wide = inputs.width(p) * (long)L, first = inputs.first(p) * (long)L;
                        real* to = W + first * Cell::GATES * HP + i * HP * wide;
                        pack_rows(to, inputs.width(p), (real*)a.w_ih + Cell::slot_gate(i) * a.H * a.I + first, a.I, a.I - first, a.H);
                        memset(to + a.H * wide, 0, (HP - a.H) * wide * sizeof(real));
                    }
        if (rank) return;
        memset(totals, 0, (rows_split ? team : 1) * TOTALS * HP * sizeof(real));
        for (int v = 0; v < Cell::VECTORS; v++) pad(vectors + v * HP, (real*)a.vectors[v]);
        for (int s = 0; s < Cell::STATES; s++)
            for (long b = 0; b < a.B; b++) pad(carry[s] + b * HP, a.g_last[s] ? (real*)a.g_last[s] + steps.place(b) * a.H : nullptr);
    }
    void pad(real* to, const real* from) const {
        if (from) memcpy(to, from, a.H * sizeof(real));
        memset(to + (from ? a.H : 0), 0, (HP - (from ? a.H : 0)) * sizeof(real));
    }
    real* state_panel(int s, int p) const {
        return UT + Cell::operand_first(s) * HP * HP + units.first(p) * (long)L * Cell::operand_slots(s) * HP;
    }
    real* slot(long t, long b) const { return slots + steps.token(t, b) * slot_row(); }

    void run(int rank, int size) {
        if (!rank && a.dx) large_pages(a.dx, (a.packed ? a.N : a.full_T * a.B) * a.I * sizeof(real));
        pack(rank, size);
        if (a.dx) clear_padding(rank, size);
        more.begin(rank, size);
        barrier->wait(size);
        const Share share(a, rows_split, rank, size);
        const long most = rows_split ? (a.B + team - 1) / team : a.B;
        const real** p = pointers + rank * per_thread;
        real* room = buffer + rank * most * Cell::STATES * 4 * L;
        real* total = totals + (rows_split ? rank * TOTALS * HP : 0);
        for (long k = a.T; k > 0;) {
            const long stop = k > chunk ? k - chunk : 0, from = k;
            for (; k > stop; k--) {
                await(a.awaits, a.T - k + 1);
                step(share, p + 2 * tokens, room, total, k - 1);
                if (!rows_split) barrier->wait(size);
            }
            if (a.dx && rows_split) input_gradient(share, p, stop, from);
            announce(a.progress, a.T - stop);
        }
        first_states(share, p + 2 * tokens, room);
        barrier->wait(size);
        if (a.dx && !rows_split) shared_input_gradient(p, rank, size);
        more.finish(rank, size);
        weights(rank, size, p);
        if (!rank) sums(size);
    }

    void clear_padding(int rank, int size) {
        if (!a.batch_sizes || a.packed) return;
        for (long t = rank; t < a.full_T; t += size)
            for (long b = t < a.T ? steps.active(t) : 0; b < a.B; b++) memset(steps.at(dx, t, b), 0, a.I * sizeof(real));
    }

    // d(old state) gains (gradients of the products of the step after) . U, for the rows that had a step after.
    void recurrent(const Share& share, const real** p, real* room, int panel, long n, long t_after) {
        const real** in = p;
        real** out = (real**)(p + (share.rows + 8));
        for (int s = 0; s < Cell::STATES; s++) {
            if (!Cell::operand_slots(s)) continue;
            for (long i = 0; i < n; i++) {
                in[i] = slot(t_after < 0 ? steps.time_first(share.row(i)) : t_after, share.row(i)) + Cell::operand_slot(s) * HP;
                out[i] = room + (i * Cell::STATES + s) * 4 * L;
            }
            product(in, 0, state_panel(s, panel), units.width(panel), Cell::operand_slots(s) * HP, ZEROS, out, 0, n);
        }
    }

    void step(const Share& share, const real** p, real* room, real* total, long k) {
        const long t = steps.time(k), after = a.reverse ? t - 1 : t + 1;
        const long n = share.count(steps.active(t));
        long linked = after < 0 || after >= a.T ? 0 : share.count(steps.active(after));
        if (linked > n) linked = n;
        const int first = share.begin(units.count), last = share.end(units.count);
        for (int i = 0; i < last - first; i++) {
            const int panel = k & 1 ? last - 1 - i : first + i;
            if (linked) recurrent(share, p, room, panel, linked, after);
            if (linked < n) memset(room + linked * Cell::STATES * 4 * L, 0, (n - linked) * Cell::STATES * 4 * L * sizeof(real));
            for (int u = 0; u < units.width(panel); u++) pointwise(share, t, units.first(panel) + u, u, n, room, total);
        }
    }

    void pointwise(const Share& share, long t, int v, int u, long n, const real* room, real* total) {
        const long at = v * (long)L;
        const int valid = a.H - at >= L ? L : a.H - at > 0 ? a.H - at : 0;
        if (!valid) {
            for (long r = 0; r < n; r++)
                for (int i = 0; i < Cell::SLOTS; i++) store(slot(t, share.row(r)) + i * HP + at, V{});
            return;
        }
        const auto part = [&](const real* p) { return valid == L ? load(p) : load_part(p, valid); };
        const long ahead = a.reverse ? t + 1 : t - 1;  // the step that comes next here, whose values are called for now
        const long near = ahead >= 0 && ahead < a.T && steps.active(ahead) >= steps.active(t) ? steps.offset(ahead) - steps.offset(t) : 0;
        V vec[Cell::VECTORS + 1], sum[TOTALS + 1] = {};
        UNROLL for (int i = 0; i < Cell::VECTORS; i++) vec[i] = load(vectors + i * HP + at);
        for (long r = 0; r < n; r++) {
            const long b = share.row(r), token = steps.token(t, b), before = steps.before(t, b);
            V save[Cell::SAVED + 1], old[Cell::STATES], fresh[Cell::STATES], further[Cell::MORE + 1], d_fresh[Cell::STATES];
            V d[Cell::SLOTS + 1], d_old[Cell::STATES], d_vec[Cell::VECTORS + 1], d_further[Cell::EXTRAS + 1];
            UNROLL for (int i = 0; i < Cell::SAVED; i++) {
                const real* from = (real*)a.saved + (token * Cell::SAVED + i) * HV * L + at;
                save[i] = load(from);
                __builtin_prefetch(from + near * Cell::SAVED * HV * L);
            }
            UNROLL for (int s = 0; s < Cell::STATES; s++) {
                const real* sequence = (real*)a.sequence[s];
                if (Cell::needs_old(s)) {
                    if (before < 0) old[s] = part((real*)a.first[s] + steps.place(b) * a.H + at);
                    else old[s] = s ? load(sequence + steps.token(before, b) * HV * L + at) : part(steps.at(y, before, b) + at);
                    if (s) __builtin_prefetch(sequence + (steps.token(t, b) + 2 * near) * HV * L + at);
                }
                if (Cell::needs_new(s)) fresh[s] = s ? load(sequence + token * HV * L + at) : part(steps.at(y, t, b) + at);
                d_fresh[s] = load(carry[s] + b * HP + at);
                if (Cell::operand_slots(s)) d_fresh[s] += load(room + ((r * Cell::STATES + s) * 4 + u) * L);
            }
            if (a.gy) {
                const real* from = steps.at(gy, t, b) + at;
                d_fresh[0] += part(from);
                if (near) __builtin_prefetch(steps.at(gy, ahead, b) + at);
            }
            more.values(t, b, at, valid, further);
            Cell::backward(save, old, fresh, vec, further, d_fresh, d, d_old, d_vec, d_further);
            more.gradients(rows_split ? 0 : share.rank, t, b, at, valid, d_further);
            UNROLL for (int i = 0; i < Cell::SLOTS; i++) {
                if (valid < L) d[i] = keep(d[i], valid);
                real* to = slots + token * slot_row() + i * HP + at;
                store(to, d[i]);
                __builtin_prefetch(to + near * slot_row(), 1);
                sum[i] += d[i];
            }
            UNROLL for (int i = 0; i < Cell::VECTORS; i++) sum[Cell::SLOTS + i] += d_vec[i];
            UNROLL for (int s = 0; s < Cell::STATES; s++) store(carry[s] + b * HP + at, valid < L ? keep(d_old[s], valid) : d_old[s]);
        }
        UNROLL for (int i = 0; i < TOTALS; i++) store(total + i * HP + at, load(total + i * HP + at) + sum[i]);
    }

    void first_states(const Share& share, const real** p, real* room) {
        const int first = share.begin(units.count), last = share.end(units.count);
        long n = share.count(a.T ? steps.active(0) : 0);
        for (int panel = first; panel < last; panel++) {
            bool wanted = false;
            for (int s = 0; s < Cell::STATES; s++) wanted |= a.d_first[s] != 0;
            if (!wanted) return;
            recurrent(share, p, room, panel, n, -1);
            for (int s = 0; s < Cell::STATES; s++)
                for (long r = 0; a.d_first[s] && r < share.rows; r++)
                    for (int u = 0; u < units.width(panel); u++) {
                        const long at = (units.first(panel) + u) * (long)L;
                        if (at >= a.H) break;
                        V d = load(carry[s] + share.row(r) * HP + at);
                        if (r < n && Cell::operand_slots(s)) d += load(room + ((r * Cell::STATES + s) * 4 + u) * L);
                        store_part((real*)a.d_first[s] + steps.place(share.row(r)) * a.H + at, d, a.H - at < L ? a.H - at : L);
                    }
        }
    }

    // rows of dx = slots . W; whole vectors go straight to their place, the last columns through a buffer
    void input_rows(const real** in, real** out, long m) {
        for (int q = 0; q < inputs.count; q++) {
            const long first = inputs.first(q) * (long)L, wide = inputs.width(q) * (long)L;
            const real* panel = W + first * Cell::GATES * HP;
            if (first + wide <= a.I) {
                product(in, 0, panel, inputs.width(q), Cell::GATES * HP, ZEROS, out, first, m);
                continue;
            }
            alignas(64) real aside[8 * 4 * L];
            real* rows[8];
            for (int i = 0; i < 8; i++) rows[i] = aside + i * 4 * L;
            for (long r = 0; r < m; r += 8) {
                const long n = m - r < 8 ? m - r : 8;
                product(in + r, 0, panel, inputs.width(q), Cell::GATES * HP, ZEROS, rows, 0, n);
                for (long i = 0; i < n; i++) memcpy(out[r + i] + first, rows[i], (a.I - first) * sizeof(real));
            }
        }
    }
    void input_gradient(const Share& share, const real** p, long from, long stop) {
        const real** in = p;
        real** out = (real**)(p + tokens);
        long m = 0;
        for (long k = from; k < stop; k++) {
            const long t = steps.time(k), n = share.count(steps.active(t));
            for (long i = 0; i < n; i++, m++) in[m] = slot(t, share.row(i)), out[m] = steps.at(dx, t, share.row(i));
        }
        input_rows(in, out, m);
    }
    void shared_input_gradient(const real** p, int rank, int size) {
        const real** in = p;
        real** out = (real**)(p + tokens);
        for (long t0 = a.T * rank / size, end = a.T * (rank + 1) / size; t0 < end; t0 += chunk) {
            long m = 0;
            for (long t = t0; t < t0 + chunk && t < end; t++)
                for (long b = 0; b < steps.active(t); b++, m++) in[m] = slot(t, b), out[m] = steps.at(dx, t, b);
            input_rows(in, out, m);
        }
    }

    // d W[g] = sum over tokens of slot[g]^T x;  d U[j] = slot[j]^T (old state).  Threads share the rows of the results.
    // Sources of columns are x, then each operand state; blocks of columns are gathered once and serve every slot.
    struct Source {
        int state;  // -1: x
        long first, wide;
    };
    void weights(int rank, int size, const real** p) {
        Source sources[Cell::STATES + 2];
        long total = 0;
        int count = 0;
        const auto flush = [&] {
            if (count) block_of_columns(rank, size, p, sources, count, total);
            count = 0, total = 0;
        };
        for (int state = -1; state < Cell::STATES; state++) {
            if (state < 0 ? !a.dw_ih : !Cell::operand_slots(state) || !a.dU[0]) continue;
            const long columns = state < 0 ? a.I : a.H;
            for (long c = 0; c < columns;) {
                if (total >= COLUMN_BLOCK || count > Cell::STATES) flush();
                const long wide = columns - c < COLUMN_BLOCK - total ? columns - c : COLUMN_BLOCK - total;
                sources[count++] = {state, c, wide};
                total += (wide + 4 * L - 1) / L * L, c += wide;
            }
        }
        flush();
    }
    const real* row_of(int state, long t, long b) const {  // x (state -1) or an old state
        if (state < 0) return steps.at(x, t, b);
        const long before = steps.before(t, b);
        if (before < 0) return (real*)a.first[state] + steps.place(b) * a.H;
        return state ? (real*)a.sequence[state] + steps.token(before, b) * HV * L : steps.at(y, before, b);
    }
    real* result(int i, const Source& source, long& stride) const {  // where slot i meets this source, or null
        if (source.state < 0) {
            stride = a.I;
            return Cell::slot_gate(i) < 0 ? nullptr : (real*)a.dw_ih + Cell::slot_gate(i) * a.H * a.I + source.first;
        }
        const int j = Cell::slot_product(i);
        stride = a.H;
        return j < 0 || Cell::product_state(j) != source.state ? nullptr : (real*)a.dU[j] + source.first;
    }
    void block_of_columns(int rank, int size, const real** p, const Source* sources, int count, long total) {
        constexpr int TALL = most_rows(4);
        const long blocks = (a.H + TALL - 1) / TALL, low = Cell::SLOTS * blocks * rank / size, high = Cell::SLOTS * blocks * (rank + 1) / size;
        real* columns = packed + rank * per_packed;
        real* rows = columns + TOKEN_BLOCK * COLUMN_ROOM;
        const long most = TOKEN_BLOCK * COLUMN_BLOCK / 2 / total, block = most < 128 ? 128 : most > TOKEN_BLOCK ? TOKEN_BLOCK : most;
        long t = 0, b = 0;
        for (long n0 = 0; n0 < a.N; n0 += block) {
            const long depth = a.N - n0 < block ? a.N - n0 : block;
            real* to = columns;
            const long t0 = t, b0 = b;
            for (int s = 0; s < count; s++) {
                t = t0, b = b0;
                for (long k = 0; k < depth; k++) {
                    while (b >= steps.active(t)) t++, b = 0;
                    p[k] = row_of(sources[s].state, t, b++) + sources[s].first;
                }
                const Panels panels((sources[s].wide + L - 1) / L);
                for (int q = 0; q < panels.count; q++) gather(to + panels.first(q) * L * depth, p, panels, q, sources[s].wide, depth);
                to += panels.padded * L * depth;
            }
            for (long m = low; m < high; m++) {
                const int i = m / blocks;
                const long row = m % blocks * TALL, tall = a.H - row < TALL ? a.H - row : TALL;
                const real* from = slots + n0 * slot_row() + i * HP + row;
                for (long k = 0; k < depth; k++, from += slot_row()) memcpy(rows + k * tall, from, 8 * sizeof(real));
                const real* panel = columns;
                for (int s = 0; s < count; s++) {
                    const Panels panels((sources[s].wide + L - 1) / L);
                    long stride;
                    real* out = result(i, sources[s], stride);
                    for (int q = 0; out && q < panels.count; q++) meet(rows, panel, panels, q, depth, sources[s].wide, tall, out + row * stride, stride, n0 > 0);
                    panel += panels.padded * L * depth;
                }
            }
        }
    }
    static void gather(real* to, const real* const* rows, const Panels& panels, int q, long wide, long depth) {
        const long first = panels.first(q) * (long)L, width = panels.width(q) * (long)L;
        const long n = wide - first < width ? wide - first : width;
        for (long k = 0; k < depth; k++, to += width) {
            long c = 0;
            for (; c + L <= n; c += L) store(to + c, load(rows[k] + first + c));
            for (; c < width; c++) to[c] = c < n ? rows[k][first + c] : 0;
        }
    }
    static void meet(const real* column, const real* panel_room, const Panels& panels, int q, long depth, long wide, long rows,
                      real* result, long stride, bool more) {
        const long first = panels.first(q) * (long)L, width = panels.width(q) * (long)L;
        alignas(64) real aside[8 * 4 * L];
        real* out[8];
        const bool whole = first + width <= wide;
        for (long r = 0; r < rows; r++) {
            out[r] = whole ? result + r * stride + first : aside + r * 4 * L;
            if (!whole && more) memcpy(out[r], result + r * stride + first, (wide - first) * sizeof(real));
        }
        gatework_tile(true, rows, panels.width(q))(&column, 0, panel_room + first * depth, depth, more ? nullptr : ZEROS, out, 0);
        if (!whole)
            for (long r = 0; r < rows; r++) memcpy(result + r * stride + first, out[r], (wide - first) * sizeof(real));
    }

    void sums(int size) {  // gradients of biases and vectors: the threads' totals added in a fixed order
        for (int part = 1; rows_split && part < size; part++)
            for (long i = 0; i < TOTALS * HP; i++) totals[i] += totals[part * TOTALS * HP + i];
        for (int i = 0; i < Cell::SLOTS; i++) {
            if (Cell::slot_gate(i) >= 0 && a.db_ih) memcpy((real*)a.db_ih + Cell::slot_gate(i) * a.H, totals + i * HP, a.H * sizeof(real));
            const int j = Cell::slot_product(i);
            if (j >= 0 && a.db_hh[j]) memcpy((real*)a.db_hh[j], totals + i * HP, a.H * sizeof(real));
        }
        for (int i = 0; i < Cell::VECTORS; i++)
            if (a.d_vectors[i]) memcpy((real*)a.d_vectors[i], totals + (Cell::SLOTS + i) * HP, a.H * sizeof(real));
    }
};

extern "C" int gatework_backward(const Call* call) {
    const int failed = perform<Backward>(*call);
    announce(call->progress, call->T);
    return failed;
}
