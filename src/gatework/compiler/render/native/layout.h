// Where the rows of sequences, weights and states lie.  `struct Call` and `struct Cell` are generated before this file.
#pragma once
#include "threads.h"
#include "tile.h"

// Rows of a tensor [T, B, width] with any strides, or packed [N, width].
template <class T> struct RowsOf {
    T* base;
    long time, batch;
    bool packed;
};
typedef RowsOf<real> Rows;

struct Steps {  // the ragged batch: rows are numbered by falling length
    const Call& a;
    explicit Steps(const Call& call) : a(call) {}
    long active(long t) const { return a.batch_sizes ? ((const int64_t*)a.batch_sizes)[t] : a.B; }
    long offset(long t) const { return a.offsets ? ((const int64_t*)a.offsets)[t] : t * a.B; }
    long token(long t, long b) const { return offset(t) + b; }
    long place(long b) const { return a.order ? ((const int64_t*)a.order)[b] : b; }
    long length(long b) const { return a.lengths ? ((const int64_t*)a.lengths)[b] : a.T; }
    template <class T> T* at(const RowsOf<T>& rows, long t, long b) const {
        return rows.base + (rows.packed ? token(t, b) * rows.batch : t * rows.time + place(b) * rows.batch);
    }
    long time(long k) const { return a.reverse ? a.T - 1 - k : k; }  // time of the k-th step
    long time_first(long b) const { return a.reverse ? length(b) - 1 : 0; }  // time of the first step computed
    // The step before (in order of computation) of row b at time t, or -1.
    long before(long t, long b) const {
        const long p = a.reverse ? t + 1 : t - 1;
        return p < 0 || p >= length(b) ? -1 : p;
    }
};

// How the work is divided: threads own rows of the batch and never meet, or own units and meet after every step.
struct Share {
    bool by_rows;
    int rank, team;
    long B;
    bool ragged;
    long first_row, stride_row, rows;  // the rows of this thread: first + i * stride

    Share(const Call& a, bool rows_split, int rank_, int team_) : by_rows(rows_split), rank(rank_), team(team_), B(a.B) {
        ragged = a.batch_sizes != 0;
        if (!by_rows) first_row = 0, stride_row = 1, rows = B;
        else if (ragged) first_row = rank, stride_row = team, rows = B > rank ? (B - rank + team - 1) / team : 0;
        else {
            first_row = B * rank / team, stride_row = 1;
            rows = B * (rank + 1) / team - first_row;
        }
    }
    long row(long i) const { return first_row + i * stride_row; }
    long count(long active) const {  // how many of this thread's rows are below `active`
        if (!by_rows) return active;
        const long n = active <= first_row ? 0 : (active - first_row + stride_row - 1) / stride_row;
        return n < rows ? n : rows;
    }
    long begin(long n) const { return by_rows ? 0 : n * rank / team; }  // this thread's part of n panels of units
    long end(long n) const { return by_rows ? n : n * (rank + 1) / team; }
};

// Tokens to compute between two input products: enough rows to share a read of the weights, little enough to stay in cache.
static long steps_per_chunk(const Call& a, long rows, long floats_per_token) {
    const long cached = (512 << 10) / (long)sizeof(real) / (floats_per_token * (rows ? rows : 1));
    const long shared = (96 + rows) / (rows ? rows : 1);
    const long n = cached > shared ? cached : shared;
    return n < 1 ? 1 : n > a.T ? a.T : n;
}

// The most of them where another layer's pass takes part, so that it does not wait long.
constexpr long SIDE_BY_SIDE = 8;

// Rows are divided where every thread gets enough of them to make up for reading all the weights; else units are.
static bool split_rows(const Call& a, int team, long panels) { return team == 1 || panels < team || a.B >= 16 * team; }
static int team_for(const Call& a, double flops_per_step, long panels) {
    if (a.threads <= 1 || flops_per_step * a.T < 400e3) return 1;
    if (a.B >= 16 * a.threads) return a.threads;
    const long most = panels < a.threads ? panels : a.threads;
    if (most > 1 && flops_per_step >= 100e3) return most;  // a barrier costs about what 10,000 multiplications do
    return a.B >= 4 * a.threads ? a.threads : 1;
}

static thread_local Arena arena;

// Run a pass (Forward, Backward, ...) on its team; 1 when there is no memory for its buffers.
template <class Work> static int perform(const Call& call) {
    try {
        Work work(call);
        Arena measure;
        work.reserve(measure);
        arena.begin(measure.taken());
        work.reserve(arena);
        new (work.barrier) Barrier;
        on_team(work.team, [&](int rank, int size) { work.run(rank, size); });
        arena.end();
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}
