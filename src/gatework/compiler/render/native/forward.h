// One layer and direction forward in time.
#pragma once
#include "more.h"

struct Forward {
    const Call& a;
    const Steps steps;
    const More more;
    const Rows x, y;
    const Panels units, gates;  // of recurrent products (Cell::UV vectors a panel) and of input products
    const int HV;               // vectors that hold H units
    const long HP, HW;          // units padded for the products, and for one gate of the input products
    const bool rows_split;
    const int team;
    real *W, *U, *b_ih, *b_hh, *vectors, *xp, *buffer, *operands[2][Cell::STATES], *states[Cell::STATES];
    const real** pointers;
    long chunk, tokens, per_thread;
    Barrier* barrier;

    static constexpr int UV = Cell::UV;
    static constexpr int GROUP = 8;  // rows x panels whose pointwise parts follow one another, so that they overlap
    static int unit_panels(int hv) { return (hv + UV - 1) / UV; }

    explicit Forward(const Call& call)
        : a(call), steps(call), more(call), x{(real*)a.x, a.x_time, a.x_batch, a.packed != 0}, y{(real*)a.y, a.y_time, a.y_batch, a.packed != 0},
          units(0), gates((a.H + L - 1) / L), HV((a.H + L - 1) / L), HP(unit_panels(HV) * UV * L), HW(gates.padded * (long)L),
          rows_split(split_rows(a, team_for(a, flops(), unit_panels(HV)), unit_panels(HV))), team(team_for(a, flops(), unit_panels(HV))) {}

    double flops() const { return 2.0 * a.B * a.H * (Cell::PRODUCTS * a.H + Cell::GATES * a.I); }

    void reserve(Arena& arena) {
        const long most = rows_split ? (a.B + team - 1) / team : a.B;
        chunk = steps_per_chunk(a, most, Cell::GATES * HW);
        tokens = chunk * most;
        per_thread = 2 * tokens + 8 * (most + 8);
        barrier = arena.take<Barrier>(1);
        W = arena.take<real>(Cell::GATES * HW * a.I);
        U = arena.take<real>(Cell::PRODUCTS * HP * a.H);
        b_ih = arena.take<real>(Cell::GATES * HW);
        b_hh = arena.take<real>(Cell::PRODUCTS * HP);
        vectors = arena.take<real>((Cell::VECTORS + 1) * HP);
        xp = arena.take<real>((rows_split ? team : 1) * tokens * Cell::GATES * HW);
        buffer = arena.take<real>(team * (most + GROUP) * Cell::PRODUCTS * UV * L);
        pointers = arena.take<const real*>(team * per_thread);
        for (int s = 0; s < Cell::STATES; s++) {
            states[s] = operands[0][s] = arena.take<real>(a.B * HP);
            operands[1][s] = Cell::is_operand(s) ? arena.take<real>(a.B * HP) : states[s];
        }
    }

    void pack(int rank, int size) {
        int task = 0;
        const auto mine = [&] { return task++ % size == rank; };
        for (int g = 0; g < Cell::GATES; g++)
            for (int p = 0; p < gates.count; p++)
                if (mine()) {
                    const long first = gates.first(p) * (long)L;
                    for (int v = 0; v < gates.width(p); v++)
                        pack_transposed(W + (g * HW + first) * a.I + v * L, gates.width(p) * L,
                                        (real*)a.w_ih + (g * a.H + first + v * L) * a.I, a.I, a.H - first - v * L, a.I);
                }
        for (int p = 0; p < unit_panels(HV); p++)
            for (int c = 0; c < Cell::CHUNKS; c++)
                if (mine())
                    for (int u = 0; u < UV; u++)
                        for (int j = 0; j < Cell::chunk_size(c); j++) pack_unit(p, c, u, j);
        if (rank) return;
        for (int g = 0; g < Cell::GATES; g++) copy_padded(b_ih + g * HW, (real*)a.b_ih + g * a.H, a.b_ih, HW);
        for (int p = 0; p < unit_panels(HV); p++)
            for (int u = 0; u < UV; u++)
                for (int j = 0; j < Cell::PRODUCTS; j++)
                    for (int lane = 0; lane < L; lane++) {
                        const long h = (p * UV + u) * L + lane;
                        b_hh[((p * UV + u) * Cell::PRODUCTS + j) * L + lane] = a.b_hh[j] && h < a.H ? ((real*)a.b_hh[j])[h] : 0;
                    }
        for (int v = 0; v < Cell::VECTORS; v++) copy_padded(vectors + v * HP, (real*)a.vectors[v], true, HP);
        for (int s = 0; s < Cell::STATES; s++)
            for (long b = 0; b < a.B; b++) {
                const real* from = (real*)a.first[s] + steps.place(b) * a.H;
                copy_padded(operands[0][s] + b * HP, from, true, HP);
                if (Cell::is_operand(s)) copy_padded(operands[1][s] + b * HP, from, true, HP);
            }
    }
    void copy_padded(real* to, const real* from, bool there, long width) const {
        if (there) memcpy(to, from, a.H * sizeof(real));
        memset(to + (there ? a.H : 0), 0, (width - (there ? a.H : 0)) * sizeof(real));
    }
    real* chunk_panel(int p, int c) const { return U + (p * (long)Cell::PRODUCTS + Cell::chunk_first(c)) * UV * L * a.H; }
    void pack_unit(int p, int c, int u, int j) {  // one vector of columns, interleaved: [K][u][j][L]
        const int width = UV * Cell::chunk_size(c);
        const long first = (p * UV + u) * (long)L;
        pack_transposed(chunk_panel(p, c) + (u * Cell::chunk_size(c) + j) * L, width * L,
                        (real*)a.U[Cell::chunk_first(c) + j] + first * a.H, a.H, a.H - first, a.H);
    }

    void run(int rank, int size) {
        pack(rank, size);
        clear_padding(rank, size);
        barrier->wait(size);
        const Share share(a, rows_split, rank, size);
        const real** p = pointers + rank * per_thread;
        const long most = rows_split ? (a.B + team - 1) / team : a.B;
        real* mine = rows_split ? xp + rank * tokens * Cell::GATES * HW : xp;
        real* room = buffer + rank * (most + GROUP) * Cell::PRODUCTS * UV * L;
        for (long k = 0; k < a.T; k += chunk) {
            const long stop = k + chunk < a.T ? k + chunk : a.T;
            inputs(share, p, mine, k, stop);
            if (!rows_split) barrier->wait(size);
            const real* at = mine;
            for (long s = k; s < stop; s++) {
                const long n = share.count(steps.active(steps.time(s)));
                step(share, p + 2 * tokens, at, room, s, n);
                at += n * Cell::GATES * HW;
                if (!rows_split) barrier->wait(size);
            }
        }
        finish(share);
    }

    void clear_padding(int rank, int size) {  // outputs past a row's length
        if (!a.batch_sizes || a.packed) return;
        for (long t = rank; t < a.full_T; t += size)
            for (long b = t < a.T ? steps.active(t) : 0; b < a.B; b++) memset(steps.at(y, t, b), 0, a.H * sizeof(real));
    }

    void inputs(const Share& share, const real** p, real* to, long from, long stop) {
        const real** in = p;
        real** out = (real**)(p + tokens);
        long m = 0;
        for (long k = from; k < stop; k++) {
            const long t = steps.time(k), n = share.count(steps.active(t));
            for (long i = 0; i < n; i++, m++) in[m] = steps.at(x, t, share.row(i)), out[m] = to + m * Cell::GATES * HW;
        }
        // threads that own units divide the tokens here
        const long low = rows_split ? 0 : m * share.rank / share.team, high = rows_split ? m : m * (share.rank + 1) / share.team;
        for (int g = 0; g < Cell::GATES; g++)
            for (int q = 0; q < gates.count; q++) {
                const long column = g * HW + gates.first(q) * (long)L;
                product(in + low, 0, W + column * a.I, gates.width(q), a.I, b_ih + column, out + low, column, high - low);
            }
    }

    void step(const Share& share, const real** p, const real* xt, real* room, long k, long n) {
        const long t = steps.time(k);
        const int now = k & 1;
        const real** in = p;
        real** sums = (real**)(p + (share.rows + 8));
        const int first = share.begin(unit_panels(HV)), last = share.end(unit_panels(HV)), group = n < 1 || n >= GROUP ? 1 : GROUP / n;
        const long wide = Cell::PRODUCTS * UV * L;
        int operand = -1;
        for (int i = first; i < last; i += group) {
            const int stop = i + group < last ? i + group : last;
            // back and forth: what was read last is still in cache
            const auto panel = [&](int k) { return now ? first + last - 1 - k : k; };
            for (int k = i; k < stop; k++) {
                for (long r = 0; r < n; r++) sums[r] = room + ((k - i) * n + r) * wide;
                for (int c = 0; c < Cell::CHUNKS; c++) {
                    if (operand != Cell::chunk_state(c)) {
                        operand = Cell::chunk_state(c);
                        for (long r = 0; r < n; r++) in[r] = operands[now][operand] + share.row(r) * HP;
                    }
                    const long column = Cell::chunk_first(c) * (long)L;
                    product(in, 0, chunk_panel(panel(k), c), UV * Cell::chunk_size(c), a.H,
                            b_hh + panel(k) * (long)UV * Cell::PRODUCTS * L + column, sums, column, n);
                }
            }
            for (int k = i; k < stop; k++) pointwise(share, t, now, panel(k), xt, room + (k - i) * n * wide, n);
        }
    }

    void pointwise(const Share& share, long t, int now, int panel, const real* xt, const real* room, long n) {
        const long ahead = a.reverse ? t - 1 : t + 1;
        const long near = a.train && ahead >= 0 && ahead < a.T && steps.active(ahead) >= steps.active(t) ? steps.offset(ahead) - steps.offset(t) : 0;
        for (int u = 0; u < UV; u++) {
            const int v = panel * UV + u;
            if (v >= HV) return;
            const long at = v * (long)L;
            const int valid = a.H - at < L ? a.H - at : L;
            V vec[Cell::VECTORS + 1];
            UNROLL for (int i = 0; i < Cell::VECTORS; i++) vec[i] = load(vectors + i * HP + at);
            for (long r = 0; r < n; r++) {
                const long b = share.row(r);
                V gate[Cell::GATES + 1], sum[Cell::PRODUCTS + 1], old[Cell::STATES], fresh[Cell::STATES], save[Cell::SAVED + 1];
                UNROLL for (int g = 0; g < Cell::GATES; g++) gate[g] = load(xt + (r * Cell::GATES + g) * HW + at);
                UNROLL for (int j = 0; j < Cell::PRODUCTS; j++) sum[j] = load(room + ((r * UV + u) * Cell::PRODUCTS + j) * L);
                UNROLL for (int s = 0; s < Cell::STATES; s++) old[s] = load(operands[now][s] + b * HP + at);
                V further[Cell::MORE + 1];
                more.values(t, b, at, valid, further);
                Cell::forward(gate, sum, old, vec, further, fresh, save);
                UNROLL for (int s = 0; s < Cell::STATES; s++) store(operands[!now][s] + b * HP + at, fresh[s]);
                real* out = steps.at(y, t, b) + at;
                if (valid == L) store(out, fresh[0]);
                else store_part(out, fresh[0], valid);
                if (!a.train) continue;
                const long token = steps.token(t, b);
                UNROLL for (int i = 0; i < Cell::SAVED; i++) {
                    real* to = (real*)a.saved + (token * Cell::SAVED + i) * HV * L + at;
                    store(to, save[i]);
                    __builtin_prefetch(to + near * Cell::SAVED * HV * L, 1);  // the same place one step on
                }
                UNROLL for (int s = 1; s < Cell::STATES; s++) store((real*)a.sequence[s] + token * HV * L + at, fresh[s]);
            }
        }
    }

    void finish(const Share& share) {
        const long from = share.begin(unit_panels(HV)) * (long)UV * L, to = share.end(unit_panels(HV)) * (long)UV * L;
        const long stop = to < a.H ? to : a.H;
        if (from >= stop) return;
        for (long i = 0; i < share.rows; i++) {
            const long b = share.row(i), last = a.reverse ? a.T : steps.length(b);  // parity of the buffer written last
            for (int s = 0; s < Cell::STATES; s++)
                memcpy((real*)a.last[s] + steps.place(b) * a.H + from, operands[last & 1][s] + b * HP + from, (stop - from) * sizeof(real));
        }
    }
};

// A few tokens without gradients: dot products on the weights as they lie, nothing packed.
static void forward_one(const Call& a) {
    const Steps steps(a);
    const More more(a);
    const Rows x{(real*)a.x, a.x_time, a.x_batch, a.packed != 0}, y{(real*)a.y, a.y_time, a.y_batch, a.packed != 0};
    for (long b = 0; b < a.B; b++)
        for (long h = 0; h < a.H; h += L) {
            const int n = a.H - h < L ? a.H - h : L;
            V gate[Cell::GATES + 1], sum[Cell::PRODUCTS + 1], old[Cell::STATES], fresh[Cell::STATES], vec[Cell::VECTORS + 1], save[Cell::SAVED + 1];
            const auto part = [&](const real* p) { return n == L ? load(p + h) : load_part(p + h, n); };
            for (int g = 0; g < Cell::GATES; g++) {
                gate[g] = dots((real*)a.w_ih + (g * a.H + h) * a.I, a.I, n, steps.at(x, 0, b), a.I);
                if (a.b_ih) gate[g] += part((real*)a.b_ih + g * a.H);
            }
            for (int c = 0; c < Cell::CHUNKS; c++)
                for (int j = Cell::chunk_first(c); j < Cell::chunk_first(c) + Cell::chunk_size(c); j++) {
                    sum[j] = dots((real*)a.U[j] + h * a.H, a.H, n, (real*)a.first[Cell::chunk_state(c)] + b * a.H, a.H);
                    if (a.b_hh[j]) sum[j] += part((real*)a.b_hh[j]);
                }
            for (int s = 0; s < Cell::STATES; s++) old[s] = part((real*)a.first[s] + b * a.H);
            for (int i = 0; i < Cell::VECTORS; i++) vec[i] = part((real*)a.vectors[i]);
            V further[Cell::MORE + 1];
            more.values(0, b, h, n, further);
            Cell::forward(gate, sum, old, vec, further, fresh, save);
            for (int s = 0; s < Cell::STATES; s++) store_part((real*)a.last[s] + b * a.H + h, fresh[s], n);
            store_part(steps.at(y, 0, b) + h, fresh[0], n);
        }
}

extern "C" int gatework_forward(const Call* call) {
    if (call->T == 1 && call->B <= 2 && !call->train && !call->batch_sizes) {
        forward_one(*call);
        return 0;
    }
    return perform<Forward>(*call);
}
