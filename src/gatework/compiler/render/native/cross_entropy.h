// Cross-entropy of softmax(h W' + b) at given words, and its gradients, a block of rows at a time: the scores z of one
// block are all that is held. With dz = softmax(z) - onehot(word): dh = dz W, dW = dz' h, db = sum of dz.
#pragma once
#include "threads.h"
#include "tile.h"

struct CrossEntropy {
    const real *h, *W, *b;           // [N][D], [words][D], [words]
    const int64_t* targets;          // [N]
    real *losses, *dh, *dW, *db;     // [N], and as above or null: the gradients of the losses' sum
    const long N, D, words, R;       // R: rows of a block
    const Panels across, deep;       // vectors of words, of features
    const long wide, z_row, dh_row;  // words and features filled up to panels; z_row is no power of two
    static constexpr long T = most_rows(4);

    CrossEntropy(const real* h_, const real* W_, const real* b_, const int64_t* targets_, real* losses_, real* dh_, real* dW_, real* db_,
                 long N_, long D_, long words_, long R_)
        : h(h_), W(W_), b(b_), targets(targets_), losses(losses_), dh(dh_), dW(dW_), db(db_), N(N_), D(D_), words(words_), R(R_),
          across((words_ + L - 1) / L), deep((D_ + L - 1) / L), wide(across.padded * (long)L), z_row(wide + L), dh_row(deep.padded * (long)L) {}

    // What the threads share: W in panels of words [D] and in panels of features [words], the biases, the scores.
    struct Shared { real *up, *down, *start, *z; Barrier barrier; };
    long shared_room() const { return D * wide + (dh ? words * dh_row : 0) + wide + R * z_row; }
    void share(Shared& s, real* room) const {
        s.up = room, s.start = s.up + D * wide, s.z = s.start + wide, s.down = s.z + R * z_row;
    }
    // One thread's: gradients of h of a block, or h turned round, a panel of scores and the gradient of a panel of W.
    long own_room() const { return (dh ? R * dh_row : 0) + (dW || db ? R * D + R * 4 * L + (D + L) * 4 * L : 0); }

    const real* word_panel(const Shared& s, int q) const { return s.up + across.first(q) * (long)L * D; }
    const real* feature_panel(const Shared& s, int q) const { return s.down + deep.first(q) * (long)L * words; }

    void pack(const Shared& s, int rank, int size) const {
        for (int q = across.count * (long)rank / size, end = across.count * (long)(rank + 1) / size; q < end; q++)
            for (int u = 0; u < across.width(q); u++) {
                const long word = (across.first(q) + u) * (long)L;
                pack_transposed((real*)word_panel(s, q) + u * L, across.width(q) * (long)L, W + word * D, D, words - word, D);
                for (long v = word; v < word + L; v++) s.start[v] = v < words ? b[v] : -INF;  // no word: probability 0
            }
        for (int q = rank; dh && q < deep.count; q += size)
            pack_rows((real*)feature_panel(s, q), deep.width(q), W + deep.first(q) * L, D, D - deep.first(q) * L, words);
    }

    // Scores of one row to their gradient (where wanted); returns the loss.
    real softmax(real* z, long word, bool gradient) const {
        V most = load(z);
        for (long v = L; v < wide; v += L) most = vmax(most, load(z + v));
        real top = most[0], total = 0;
        for (int i = 1; i < L; i++) top = top > most[i] || top != top ? top : most[i];  // NaN wins
        const real at = z[word];
        V sum{};
        for (long v = 0; v < wide; v += L) {
            const V e = vexp(load(z + v) - top);
            sum += e;
            store(z + v, e);
        }
        for (int i = 0; i < L; i++) total += sum[i];
        if (gradient) {
            const V scale = splat(1 / total);
            for (long v = 0; v < wide; v += L) store(z + v, load(z + v) * scale);
            z[word] -= 1;
        }
        return std::log(total) + (top - at);
    }

    // Scores, losses, dz and dh of this thread's rows of the block.
    void rows(const Shared& s, long first, long count, int rank, int size, real* mine, const real** in, real** out) const {
        const long low = count * rank / size, n = count * (rank + 1) / size - low;
        real* z = s.z + low * z_row;
        first += low;
        for (long r = 0; r < n; r++) in[r] = h + (first + r) * D, out[r] = z + r * z_row;
        for (int q = 0; q < across.count; q++)
            product(in, 0, word_panel(s, q), across.width(q), D, s.start + across.first(q) * (long)L, out, across.first(q) * (long)L, n);
        for (long r = 0; r < n; r++) losses[first + r] = softmax(z + r * z_row, targets[first + r], dh || dW || db);
        if (!dh) return;
        for (long r = 0; r < n; r++) in[r] = z + r * z_row, out[r] = mine + r * dh_row;
        for (int q = 0; q < deep.count; q++)
            product(in, 0, feature_panel(s, q), deep.width(q), words, ZEROS, out, deep.first(q) * (long)L, n);
        for (long r = 0; r < n; r++) memcpy(dh + (first + r) * D, out[r], D * sizeof(real));
    }

    // This thread's words of dW and db, from dz of all rows of the block.
    void outer(const Shared& s, long first, long count, int rank, int size, real* mine) const {
        real *left = mine, *panel = left + R * D, *sums = panel + R * 4 * L;
        for (long d = 0; dW && d < D; d += T)
            for (long r = 0, tall = D - d < T ? D - d : T; r < count; r++) memcpy(left + d * count + r * tall, h + (first + r) * D + d, tall * sizeof(real));
        for (int q = across.count * (long)rank / size, end = across.count * (long)(rank + 1) / size; q < end; q++) {
            const int width = across.width(q);
            const long row = width * (long)L;
            pack_rows(panel, width, s.z + across.first(q) * (long)L, z_row, row, count);
            for (long d = 0; dW && d < D; d += T) {
                const real* a = left + d * count;
                real* c[T];
                for (long i = 0; i < T; i++) c[i] = sums + (d + i) * row;
                gatework_tile(true, (int)(D - d < T ? D - d : T), width)(&a, 0, panel, count, ZEROS, c, 0);
            }
            for (int u = 0; u < width; u++) {
                const long word = (across.first(q) + u) * (long)L, n = words - word < L ? words - word : L;
                if (dW) turn(sums + u * L, row, word, n, first > 0);
                V sum{};
                for (long r = 0; db && r < count; r++) sum += load(panel + r * row + u * L);
                for (long v = 0; db && v < n; v++) db[word + v] = (first ? db[word + v] : 0) + sum[v];
            }
        }
    }
    // dW[word + j][d] = from[d][j], or more by it.
    void turn(const real* from, long row, long word, long n, bool add) const {
        for (long d = 0; d < D; d += L) {
            V t[L];
            UNROLL for (int i = 0; i < L; i++) t[i] = load(from + (d + i) * row);
            transpose<L / 2>(t);
            const bool whole_ = D - d >= L;
            for (long j = 0; j < n; j++) {
                real* to = dW + (word + j) * D + d;
                if (whole_) store(to, add ? load(to) + t[j] : t[j]);
                else store_part(to, add ? load_part(to, D - d) + t[j] : t[j], D - d);
            }
        }
    }

    void run(Shared& s, int rank, int size, real* mine) const {
        std::vector<const real*> in(R);
        std::vector<real*> out(R);
        pack(s, rank, size);
        s.barrier.wait(size);
        for (long first = 0; first < N; first += R) {
            const long count = N - first < R ? N - first : R;
            rows(s, first, count, rank, size, mine, in.data(), out.data());
            if (!dW && !db) continue;
            s.barrier.wait(size);
            outer(s, first, count, rank, size, mine);
            s.barrier.wait(size);
        }
    }
};

static thread_local Arena cross_entropy_memory;

// Losses of the rows and, unless null, the gradients of their sum; `R` rows are worked on together. 1: no memory.
extern "C" int gatework_cross_entropy(const real* h, const real* W, const real* b, const int64_t* targets, real* losses, real* dh, real* dW,
                                      real* db, int64_t N, int64_t D, int64_t words, int64_t R, int64_t threads) try {
    const CrossEntropy c(h, W, b, targets, losses, dh, dW, db, N, D, words, R);
    const long own = c.own_room();
    cross_entropy_memory.begin((c.shared_room() + threads * own) * sizeof(real) + 512);
    CrossEntropy::Shared shared{};
    c.share(shared, cross_entropy_memory.take<real>(c.shared_room()));
    real* rooms = cross_entropy_memory.take<real>(threads * own);
    on_team((int)threads, [&](int rank, int size) { c.run(shared, rank, size, rooms + rank * own); });
    cross_entropy_memory.end();
    return 0;
} catch (const std::bad_alloc&) { return 1; }
