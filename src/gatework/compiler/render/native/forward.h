// One layer and direction forward in time.
#pragma once
#include "more.h"
#include "plain.h"

typedef Coding::Stored Stored;
typedef Coding::Weight Weight;

struct Forward {
    const Call& a;
    const Steps steps;
    const More more;
    const RowsOf<Stored> x, y;
    const Panels units, gates;  // of recurrent products (Cell::UV vectors a panel) and of input products
    const int HV;               // vectors that hold H units
    const long HP, HW;          // units padded for the products, and for one gate of the input products
    const bool rows_split;
    const int team;
    const long IW, OW;          // words of a row of inputs and of an operand
    real *W, *U, *b_ih, *b_hh, *vectors, *xp, *buffer, *operands[2][Cell::STATES], *states[Cell::STATES];
    real *coded_inputs, *coded_operands;  // rows that have to be made for the products
    const real** pointers;
    long chunk, tokens, per_thread;
    Barrier* barrier;

    static constexpr int UV = Cell::UV;
    static constexpr int GROUP = 8;  // rows x panels whose pointwise parts follow one another, so that they overlap
    static int unit_panels(int hv) { return (hv + UV - 1) / UV; }

    explicit Forward(const Call& call)
        : a(call), steps(call), more(call), x{(Stored*)a.x, a.x_time, a.x_batch, a.packed != 0},
          y{(Stored*)a.y, a.y_time, a.y_batch, a.packed != 0}, units(0), gates((a.H + L - 1) / L), HV((a.H + L - 1) / L), HP(unit_panels(HV) * UV * L), HW(gates.padded * (long)L),
          rows_split(split_rows(a, team_for(a, flops(), unit_panels(HV)), unit_panels(HV))), team(team_for(a, flops(), unit_panels(HV))),
          IW(Coding::words(a.I)), OW(Coding::words(a.H)) {}

    double flops() const { return 2.0 * a.B * a.H * (Cell::PRODUCTS * a.H + Cell::GATES * a.I); }

    void reserve(Arena& arena) {
        const long most = rows_split ? (a.B + team - 1) / team : a.B;
        chunk = steps_per_chunk(a, most, Cell::GATES * HW);
        if (a.awaits && chunk > SIDE_BY_SIDE) chunk = SIDE_BY_SIDE;
        tokens = chunk * most;
        per_thread = 2 * tokens + (8 + Cell::STATES) * (most + 8);
        barrier = arena.take<Barrier>(1);
        W = arena.take<real>(Cell::GATES * HW * IW);
        U = arena.take<real>(Cell::PRODUCTS * HP * OW);
        b_ih = arena.take<real>(Cell::GATES * HW * Coding::FACTS);
        b_hh = arena.take<real>(Cell::PRODUCTS * HP * Coding::FACTS);
        vectors = arena.take<real>((Cell::VECTORS + 1) * HP);
        xp = arena.take<real>((rows_split ? team : 1) * tokens * Cell::GATES * HW);
        buffer = arena.take<real>(team * (most + GROUP) * Cell::PRODUCTS * UV * L);
        coded_inputs = arena.take<real>((rows_split ? team : 1) * tokens * Coding::room(a.I));
        coded_operands = arena.take<real>(team * Cell::STATES * most * Coding::room(a.H));
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
                    for (int v = 0; v < gates.width(p); v++) {
                        const long unit = first + v * L, row = g * a.H + unit;
                        Coding::pack(W + (g * HW + first) * IW + v * L, gates.width(p) * L, (Weight*)a.w_ih + row * a.I, a.I, a.H - unit, a.I);
                        Coding::facts(b_ih + g * HW + unit, Cell::GATES * HW, at<Stored>(a.b_ih, row), at<real>(a.w_scale, row), a.H - unit);
                    }
                }
        for (int p = 0; p < unit_panels(HV); p++)
            for (int c = 0; c < Cell::CHUNKS; c++)
                if (mine())
                    for (int u = 0; u < UV; u++)
                        for (int j = 0; j < Cell::chunk_size(c); j++) pack_unit(p, c, u, j);
        if (rank) return;
        for (int v = 0; v < Cell::VECTORS; v++) copy_padded(vectors + v * HP, (Stored*)a.vectors[v]);
        for (int s = 0; s < Cell::STATES; s++)
            for (long b = 0; b < a.B; b++) {
                const Stored* from = (Stored*)a.first[s] + steps.place(b) * a.H;
                copy_padded(operands[0][s] + b * HP, from);
                if (Cell::is_operand(s)) copy_padded(operands[1][s] + b * HP, from);
            }
    }
    void copy_padded(real* to, const Stored* from) const {
        for (long h = 0; h < HP; h += L) store(to + h, h < a.H ? Coding::read(from + h, a.H - h < L ? a.H - h : L) : V{});
    }
    template <class T> static const T* at(int64_t address, long k) { return address ? (const T*)address + k : nullptr; }
    real* chunk_panel(int p, int c) const { return U + (p * (long)Cell::PRODUCTS + Cell::chunk_first(c)) * UV * L * OW; }
    void pack_unit(int p, int c, int u, int j) {  // one vector of columns, interleaved: [K][u][j][L]
        const int width = UV * Cell::chunk_size(c);
        const long first = (p * UV + u) * (long)L;
        const int product = Cell::chunk_first(c) + j;
        Coding::pack(chunk_panel(p, c) + (u * Cell::chunk_size(c) + j) * L, width * L, (Weight*)a.U[product] + first * a.H, a.H, a.H - first, a.H);
        Coding::facts(b_hh + ((p * UV + u) * Cell::PRODUCTS + product) * L, Cell::PRODUCTS * HP, at<Stored>(a.b_hh[product], first),
                      at<real>(a.U_scale[product], first), a.H - first);
    }

    void run(int rank, int size) {
        if (!rank) large_pages(a.y, (a.packed ? a.N : a.full_T * a.B) * a.H * sizeof(Stored));
        if (!rank && a.train) {
            large_pages(a.saved, a.N * Cell::SAVED * HV * L * sizeof(real));
            for (int s = 1; s < Cell::STATES; s++) large_pages(a.sequence[s], a.N * HV * L * sizeof(real));
        }
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
            await(a.awaits, stop);
            inputs(share, p, mine, k, stop);
            if (!rows_split) barrier->wait(size);
            const real* at = mine;
            for (long s = k; s < stop; s++) {
                const long n = share.count(steps.active(steps.time(s)));
                step(share, p + 2 * tokens, at, room, s, n);
                at += n * Cell::GATES * HW;
                announce(a.progress, s + 1);
                if (!rows_split) barrier->wait(size);
            }
        }
        finish(share);
    }

    void clear_padding(int rank, int size) {  // outputs past a row's length
        if (!a.batch_sizes || a.packed) return;
        for (long t = rank; t < a.full_T; t += size)
            for (long b = t < a.T ? steps.active(t) : 0; b < a.B; b++) memset(steps.at(y, t, b), 0, a.H * sizeof(Stored));
    }

    void inputs(const Share& share, const real** p, real* to, long from, long stop) {
        const real** in = p;
        real** out = (real**)(p + tokens);
        long m = 0, all = 0;
        for (long k = from; k < stop; k++) all += share.count(steps.active(steps.time(k)));
        // threads that own units divide the tokens here
        const long low = rows_split ? 0 : all * share.rank / share.team, high = rows_split ? all : all * (share.rank + 1) / share.team;
        real* coded = coded_inputs + (rows_split ? share.rank * tokens : 0) * Coding::room(a.I);
        for (long k = from; k < stop; k++) {
            const long t = steps.time(k), n = share.count(steps.active(t));
            for (long i = 0; i < n; i++, m++)
                if (m >= low && m < high) {
                    in[m] = Coding::row(coded + m * Coding::room(a.I), steps.at(x, t, share.row(i)), a.I);
                    out[m] = to + m * Cell::GATES * HW;
                }
        }
        for (int g = 0; g < Cell::GATES; g++)
            for (int q = 0; q < gates.count; q++) {
                const long column = g * HW + gates.first(q) * (long)L;
                Coding::multiply(in + low, W + column * IW, gates.width(q), a.I, b_ih + column, Cell::GATES * HW, out + low, column, high - low);
            }
    }

    void step(const Share& share, const real** p, const real* xt, real* room, long k, long n) {
        const long t = steps.time(k);
        const int now = k & 1;
        const real** in = p;
        real** sums = (real**)(p + Cell::STATES * (share.rows + 8));
        const int first = share.begin(unit_panels(HV)), last = share.end(unit_panels(HV)), group = n < 1 || n >= GROUP ? 1 : GROUP / n;
        const long wide = Cell::PRODUCTS * UV * L;
        real* coded = coded_operands + share.rank * Cell::STATES * (rows_split ? (a.B + team - 1) / team : a.B) * Coding::room(a.H);
        for (int s = 0; s < Cell::STATES; s++)
            for (long r = 0; Cell::is_operand(s) && r < n; r++, coded += Coding::room(a.H))
                in[s * (share.rows + 8) + r] = Coding::row(coded, operands[now][s] + share.row(r) * HP, a.H);
        for (int i = first; i < last; i += group) {
            const int stop = i + group < last ? i + group : last;
            // back and forth: what was read last is still in cache
            const auto panel = [&](int k) { return now ? first + last - 1 - k : k; };
            for (int k = i; k < stop; k++) {
                for (long r = 0; r < n; r++) sums[r] = room + ((k - i) * n + r) * wide;
                for (int c = 0; c < Cell::CHUNKS; c++) {
                    const long column = Cell::chunk_first(c) * (long)L;
                    Coding::multiply(in + Cell::chunk_state(c) * (share.rows + 8), chunk_panel(panel(k), c), UV * Cell::chunk_size(c), a.H,
                                     b_hh + panel(k) * (long)UV * Cell::PRODUCTS * L + column, Cell::PRODUCTS * HP, sums, column, n);
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
                V gate[Cell::GATES + 1], sum[Cell::PRODUCTS + 1], old[Cell::STATES], further[Cell::MORE + 1], fresh[Cell::STATES], save[Cell::SAVED + 1];
                UNROLL for (int g = 0; g < Cell::GATES; g++) gate[g] = load(xt + (r * Cell::GATES + g) * HW + at);
                UNROLL for (int j = 0; j < Cell::PRODUCTS; j++) sum[j] = load(room + ((r * UV + u) * Cell::PRODUCTS + j) * L);
                UNROLL for (int s = 0; s < Cell::STATES; s++) old[s] = load(operands[now][s] + b * HP + at);
                more.values(t, b, at, valid, further);
                Cell::forward(gate, sum, old, vec, further, fresh, save);
                UNROLL for (int s = 0; s < Cell::STATES; s++) store(operands[!now][s] + b * HP + at, fresh[s]);
                Coding::write(steps.at(y, t, b) + at, fresh[0], valid);
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
                for (long h = from; h < stop; h += L)
                    Coding::write((Stored*)a.last[s] + steps.place(b) * a.H + h, load(operands[last & 1][s] + b * HP + h), stop - h < L ? stop - h : L);
        }
    }
};

// A few tokens without gradients: dot products on the weights as they lie, nothing packed.
static void forward_one(const Call& a) {
    const Steps steps(a);
    const More more(a);
    const RowsOf<Stored> x{(Stored*)a.x, a.x_time, a.x_batch, a.packed != 0}, y{(Stored*)a.y, a.y_time, a.y_batch, a.packed != 0};
    arena.begin((Coding::room(a.I) + Cell::STATES * (Coding::room(a.H) + 64) + 64) * sizeof(real));
    real* inputs = arena.take<real>(Coding::room(a.I));
    real* operands[Cell::STATES];
    for (int s = 0; s < Cell::STATES; s++) operands[s] = arena.take<real>(Coding::room(a.H));
    for (long b = 0; b < a.B; b++) {
        const real *xt = Coding::row(inputs, steps.at(x, 0, b), a.I), *operand[Cell::STATES];
        const auto first = [&](int s) { return (Stored*)a.first[s] + b * a.H; };
        for (int s = 0; s < Cell::STATES; s++) operand[s] = Cell::is_operand(s) ? Coding::row(operands[s], first(s), a.H) : nullptr;
        for (long h = 0; h < a.H; h += L) {
            const int n = a.H - h < L ? a.H - h : L;
            V gate[Cell::GATES + 1], sum[Cell::PRODUCTS + 1], old[Cell::STATES], further[Cell::MORE + 1], fresh[Cell::STATES], vec[Cell::VECTORS + 1], save[Cell::SAVED + 1];
            for (int g = 0; g < Cell::GATES; g++) {
                const long row = g * a.H + h;
                gate[g] = Coding::one((Weight*)a.w_ih + row * a.I, a.I, n, xt, a.I, Forward::at<Stored>(a.b_ih, row), Forward::at<real>(a.w_scale, row));
            }
            for (int c = 0; c < Cell::CHUNKS; c++)
                for (int j = Cell::chunk_first(c); j < Cell::chunk_first(c) + Cell::chunk_size(c); j++)
                    sum[j] = Coding::one((Weight*)a.U[j] + h * a.H, a.H, n, operand[Cell::chunk_state(c)], a.H,
                                         Forward::at<Stored>(a.b_hh[j], h), Forward::at<real>(a.U_scale[j], h));
            for (int s = 0; s < Cell::STATES; s++) old[s] = Coding::read(first(s) + h, n);
            for (int i = 0; i < Cell::VECTORS; i++) vec[i] = Coding::read((Stored*)a.vectors[i] + h, n);
            more.values(0, b, h, n, further);
            Cell::forward(gate, sum, old, vec, further, fresh, save);
            for (int s = 0; s < Cell::STATES; s++) Coding::write((Stored*)a.last[s] + b * a.H + h, fresh[s], n);
            Coding::write(steps.at(y, 0, b) + h, fresh[0], n);
        }
    }
}

extern "C" int gatework_forward(const Call* call) {
    if (call->T == 1 && call->B <= 2 && !call->train && !call->batch_sizes) {
        try {
            forward_one(*call);
        } catch (const std::bad_alloc&) {
            return 1;
        }
        return 0;
    }
    const int failed = perform<Forward>(*call);
    announce(call->progress, call->T);  // whatever happened, nobody waits for ever
    return failed;
}
