// Cells without a product in the time loop: every unit runs through time on its own. How units, rows and steps are divided.
#pragma once
#include "more.h"

#define INLINE_MEMBER inline __attribute__((always_inline))

// Units in panels whose gates fill a register tile: packed [I][unit][gate][L], in tiles of up to 4 vectors.
struct UnitPanels {
    static constexpr int UNITS = Cell::GATES == 1 ? 4 : Cell::GATES == 2 ? 2 : 1;
    int HV, count;
    explicit UnitPanels(long H) : HV((H + L - 1) / L), count((HV + UNITS - 1) / UNITS) {}
    int first(int panel) const { return panel * UNITS; }
    int units(int panel) const { return HV - first(panel) < UNITS ? HV - first(panel) : UNITS; }
    int tiles(int panel) const { return (units(panel) * Cell::GATES + 3) / 4; }
    int edge(int panel, int tile) const { return units(panel) * Cell::GATES * tile / tiles(panel); }
};

// Threads divide the units, the rows, or both: whatever leaves the least to the busiest one. Where threads outnumber both
// and the step is linear in its state (Cell::SCAN), every chunk of time is divided too. A worker is a thread's share.
struct Division {
    int panels, parts = 1, bands = 1, spans = 1;  // of the panels of units, of the rows, of the steps of a chunk
    Division(const Call& a, int panels) : panels(panels) {
        // a unit of a row costs its products and about as much as 50 of them for the rest
        const double work = 2.0 * a.N * a.H * (Cell::GATES * a.I + 50);
        if (a.threads <= 1 || work < 400e3) return;
        long least = panels * a.B;
        for (int p = 1; p <= a.threads && p <= panels; p++) {
            const long q = a.threads / p < a.B ? a.threads / p : a.B;
            const long most = ((panels + p - 1) / p) * ((a.B + q - 1) / q);
            if (most <= least) least = most, parts = p, bands = q;
        }
        if (Cell::SCAN >= 0 && parts == panels && bands == a.B) spans = a.threads / (parts * bands);
    }
    int team() const { return parts * bands * spans; }
    int part(int worker) const { return worker % parts; }
    int band(int worker) const { return worker / parts % bands; }
    int span(int worker) const { return worker / parts / bands; }
    int first_panel(int part) const { return panels * part / parts; }
    // Where a span of n steps begins. The first has nothing to sum up beforehand, so it gets more of them.
    long edge(int span, long n) const { return span ? (long)(n * (FIRST + span - 1) / (FIRST + spans - 1)) : 0; }
    long longest(long n) const { return (long)(n * (FIRST + spans - 1) / FIRST); }  // steps whose spans have up to n
    static constexpr double FIRST = 1.5;
};

// Of the steps low..high, in order of computation, those that row b has.
struct Range {
    long begin, end;
    Range(const Steps& steps, long b, long low, long high) {
        const long length = steps.length(b), T = steps.a.T;
        begin = steps.a.reverse && T - length > low ? T - length : low;
        end = !steps.a.reverse && length < high ? length : high;
    }
    bool empty() const { return begin >= end; }
};

// What a span of steps does to a state, or to its gradient: factor * state + offset. Factors of forget gates only shrink,
// at worst to 0; nothing is divided by them.
struct Affine {
    V factor, offset;
    V of(V state) const { return pick(state == 0, offset, factor * state + offset); }  // an infinite factor of nothing is nothing
    void then(V next_factor, V next_offset) {
        factor = next_factor * factor;
        offset = next_factor * offset + next_offset;
    }
};

// What both directions know of a layer.
struct Diagonal {
    const Call& a;
    const Steps steps;
    More more;
    const Rows x, y;
    const UnitPanels panels;
    const Division division;
    const int team;
    const long HP;  // units padded to whole vectors
    real* vectors;
    Affine* sums;  // two in turn of [span][row][panel][unit]
    Barrier* barrier;

    static constexpr int UNITS = UnitPanels::UNITS, SCAN = Cell::SCAN < 0 ? 0 : Cell::SCAN;

    explicit Diagonal(const Call& call)
        : a(call), steps(call), more(call), x{(real*)a.x, a.x_time, a.x_batch, a.packed != 0}, y{(real*)a.y, a.y_time, a.y_batch, a.packed != 0},
          panels(a.H), division(call, panels.count), team(division.team()), HP(panels.HV * (long)L) {}

    void reserve(Arena& arena) {
        barrier = arena.take<Barrier>(1);
        sums = arena.take<Affine>(2 * team * UNITS);
        vectors = arena.take<real>((Cell::VECTORS + 1) * HP);
    }
    void pad(real* to, const real* from) const {
        if (from) memcpy(to, from, a.H * sizeof(real));
        memset(to + (from ? a.H : 0), 0, (HP - (from ? a.H : 0)) * sizeof(real));
    }
    Share rows(int worker) const { return Share(a, true, division.band(worker), division.bands); }
    Affine* sum(int turn, int worker, int span) const {
        const int across = division.parts * division.bands;
        return sums + (turn * team + span * across + worker % across) * UNITS;
    }
    int valid(int v) const { return a.H - v * (long)L < L ? a.H - v * (long)L : L; }
    static V part(const real* p, int valid) { return valid == L ? load(p) : load_part(p, valid); }
    INLINE_MEMBER void load_vectors(int v, V* vector) const {
        UNROLL for (int n = 0; n < Cell::VECTORS; n++) vector[n] = load(vectors + n * HP + v * (long)L);
    }
    void clear(const Rows& rows, long width, int rank, int size) const {  // what lies past a row's length
        if (!a.batch_sizes || a.packed) return;
        for (long t = rank; t < a.full_T; t += size)
            for (long b = t < a.T ? steps.active(t) : 0; b < a.B; b++) memset(steps.at(rows, t, b), 0, width * sizeof(real));
    }
};
