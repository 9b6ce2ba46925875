// Skip-gram with negative sampling over blocks of running text, on the tables in place.
//
// A block is TOKENS consecutive centres and one set of NOISE words that all of them share, so that what
// word2vec.c does pair by pair becomes small matrix products that stay in the first cache: pWord2Vec (Ji et al. 2016,
// "Parallelizing Word2Vec in Shared and Distributed Memory", section III) with the context of a whole block at once.
// The same update in torch, a few lines and slower, is `block_update` in blocks.py.
//
// Compiled for one DIM, WINDOW, NOISE and TOKENS (-D options; see kernel.py).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int L = 16;  // floats of a vector register
constexpr int R = 6;   // centres whose scores are computed together: as many as the registers hold
#else
constexpr int L = 8;
constexpr int R = 2;
#endif

constexpr long up(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

constexpr int W = WINDOW, S = NOISE, T = TOKENS;
constexpr int D = up(DIM, L);           // a row, padded with zeros
constexpr int BAND = up(R + 2 * W, L);  // the context places that R neighbouring centres look at, and some to fill up
constexpr int PLACES = T + 2 * W;       // the context places of a block: its own, and a window on both sides
constexpr int COLUMNS = up(T - R + BAND, L);
constexpr int SEEN = 4096;
static_assert(T % R == 0 && S % L == 0, "TOKENS must be a multiple of R, and NOISE of L");

typedef float vec __attribute__((vector_size(4 * L), aligned(4)));
typedef int32_t ints __attribute__((vector_size(4 * L), aligned(4)));

struct Text {
    const int32_t* ids;       // [tokens] words
    const int32_t* sentence;  // [tokens] number of the sentence: no pair crosses one
    const uint8_t* reach;     // [tokens] reduced window of each centre, 1 to WINDOW
    long tokens;
    const int32_t* noise;     // [blocks, NOISE] words
    float negatives;          // noise words that count for each pair: each of NOISE weighs negatives / NOISE
};

struct Loss {
    double sum = 0;
    long pairs = 0;
};

// What one thread works on. Rows are vectors of words; `transposed` has them as columns.
struct Work {
    alignas(64) float centre[T][D], context[COLUMNS][D], noise[S][D];
    alignas(64) float context_transposed[D][COLUMNS], noise_transposed[D][S];
    alignas(64) float pair[T][BAND], fake[T][S];  // scores, then the step along each pair's or noise word's gradient
    bool seen[SEEN];       // remainders of the contexts' ids
    std::vector<int> met;  // places of the noise words that may be contexts of the block too
};

static inline vec at(const float* place) { return *(const vec*)place; }
static inline vec all(float x) { return x - vec{}; }
static inline void put(float* place, vec x) { *(vec*)place = x; }

static inline vec exp2(vec x) {
    x = x < -126.f ? all(-126.f) : x;
    x = x > 126.f ? all(126.f) : x;
    const vec whole = (x + 12582912.f) - 12582912.f, f = x - whole;  // adding 1.5 * 2^23 rounds to a whole number
    vec p = 1.535336188e-4f * f + 1.339887440e-3f;                   // Taylor's polynomial, relative error 1e-7
    p = p * f + 9.618437357e-3f;
    p = p * f + 5.550332548e-2f;
    p = p * f + 2.402264791e-1f;
    p = p * f + 6.931472028e-1f;
    p = p * f + 1.f;
    return (vec)((ints)p + (__builtin_convertvector(whole, ints) << 23));
}

static inline vec sigmoid(vec x) { return 1.f / (1.f + exp2(-1.44269504f * x)); }
static inline double softplus(float x) { return std::max(x, 0.f) + std::log1p(std::exp(-std::fabs(x))); }

static inline void load(float* to, const float* row) {
    for (int d = 0; d + L <= DIM; d += L) put(to + d, at(row + d));
    if (DIM % L) std::memcpy(to + DIM / L * L, row + DIM / L * L, DIM % L * sizeof(float));
}

static inline void add(float* row, const vec* step) {
    for (int d = 0; d + L <= DIM; d += L) put(row + d, at(row + d) + step[d / L]);
    for (int d = DIM / L * L; d < DIM; d++) row[d] += step[DIM / L][d % L];
}

#if defined(__AVX512F__) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES
#endif
#endif

// Turns L rows of L numbers into columns.
static inline void transpose(const float* from, int from_stride, float* to, int to_stride) {
#ifdef SHUFFLES  // pairs of rows exchange ever larger pieces
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    vec r[16], s[16];
    for (int i = 0; i < 16; i++) r[i] = at(from + i * from_stride);
    for (int i = 0; i < 16; i += 2) {
        s[i] = MIX(r[i], r[i + 1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
        s[i + 1] = MIX(r[i], r[i + 1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = i; j < i + 2; j++) {
            r[j] = MIX(s[j], s[j + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
            r[j + 2] = MIX(s[j], s[j + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
        }
    for (int i = 0; i < 16; i += 8)
        for (int j = i; j < i + 4; j++) {
            s[j] = MIX(r[j], r[j + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
            s[j + 4] = MIX(r[j], r[j + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
        }
    for (int i = 0; i < 8; i++) {
        put(to + i * to_stride, MIX(s[i], s[i + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
        put(to + (i + 8) * to_stride, MIX(s[i], s[i + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
    }
#else
    for (int i = 0; i < L; i++)
        for (int j = 0; j < L; j++) to[j * to_stride + i] = from[i * from_stride + j];
#endif
}

// One block: `first` is its first centre; place j of its context is token first - W + j.
struct Block {
    const Text& text;
    const long first;
    const int32_t* noise;
    Work& w;

    bool exists(int place) const { return first - W + place >= 0 && first - W + place < text.tokens; }
    int32_t word(int place) const { return text.ids[first - W + place]; }
    int centres() const { return std::min<long>(T, text.tokens - first); }

    void gather(const float* centre, const float* context) {
        for (int i = 0; i < T; i++)
            if (i < centres()) load(w.centre[i], centre + (long)word(W + i) * DIM);
            else std::memset(w.centre[i], 0, sizeof w.centre[i]);
        for (int j = 0; j < PLACES; j++)
            if (exists(j)) load(w.context[j], context + (long)word(j) * DIM);
            else std::memset(w.context[j], 0, sizeof w.context[j]);
        for (int s = 0; s < S; s++) load(w.noise[s], context + (long)noise[s] * DIM);
        for (int d = 0; d < D; d += L) {
            for (int j = 0; j < COLUMNS; j += L) transpose(&w.context[j][d], D, &w.context_transposed[d][j], COLUMNS);
            for (int s = 0; s < S; s += L) transpose(&w.noise[s][d], D, &w.noise_transposed[d][s], S);
        }
        find_met();
    }

    void find_met() {
        w.met.clear();
        for (int j = 0; j < PLACES; j++)
            if (exists(j)) w.seen[(uint32_t)word(j) % SEEN] = true;
        for (int s = 0; s < S; s++)
            if (w.seen[(uint32_t)noise[s] % SEEN]) w.met.push_back(s);
        for (int j = 0; j < PLACES; j++)
            if (exists(j)) w.seen[(uint32_t)word(j) % SEEN] = false;
    }

    // Dot products of R centres with the band of contexts they share, and with the noise.
    void scores(int i) {
        vec pair[R][BAND / L] = {}, fake[R][S / L] = {};
        for (int d = 0; d < DIM; d++) {
            vec contexts[BAND / L], noises[S / L];
            for (int k = 0; k < BAND / L; k++) contexts[k] = at(&w.context_transposed[d][i + k * L]);
            for (int k = 0; k < S / L; k++) noises[k] = at(&w.noise_transposed[d][k * L]);
            for (int r = 0; r < R; r++) {
                const vec c = all(w.centre[i + r][d]);
                for (int k = 0; k < BAND / L; k++) pair[r][k] += c * contexts[k];
                for (int k = 0; k < S / L; k++) fake[r][k] += c * noises[k];
            }
        }
        std::memcpy(w.pair[i], pair, sizeof pair);
        std::memcpy(w.fake[i], fake, sizeof fake);
    }

    // Replaces the scores of centre i by rate times the negative gradient of the loss in them.
    template <bool LOSS>
    void differentiate(int i, float rate, Loss& loss) {
        const int origin = i / R * R, reach = text.reach[first + i];
        const int32_t mine = text.sentence[first + i];
        alignas(64) float is_pair[BAND] = {}, times[S];
        int pairs = 0;
        for (int j = W + i - reach; j <= W + i + reach; j++)
            if (j != W + i && exists(j) && text.sentence[first - W + j] == mine) is_pair[j - origin] = 1, pairs++;
        std::fill(times, times + S, (float)pairs);  // the pairs that a noise word counts for
        for (int s : w.met)                         // it counts nothing where it is the context itself
            for (int k = 0; k < BAND; k++) times[s] -= is_pair[k] && word(origin + k) == noise[s];
        const float weight = text.negatives / S;
        if (LOSS) {
            for (int k = 0; k < BAND; k++)
                if (is_pair[k]) loss.sum += softplus(-w.pair[i][k]);
            for (int s = 0; s < S; s++) loss.sum += weight * times[s] * softplus(w.fake[i][s]);
            loss.pairs += pairs;
        }
        for (int k = 0; k < BAND; k += L)
            put(&w.pair[i][k], rate * at(is_pair + k) * sigmoid(-at(&w.pair[i][k])));
        for (int s = 0; s < S; s += L)
            put(&w.fake[i][s], -rate * weight * at(times + s) * sigmoid(at(&w.fake[i][s])));
    }

    // Adds each row's step to its table. Within the block all steps are taken from the same place.
    void step(float* centre, float* context) {
        const int centres = this->centres();
        for (int i = 0; i < centres; i++) {
            vec sum[D / L] = {};
            for (int j = i; j <= i + 2 * W; j++) accumulate(sum, w.pair[i][j - i / R * R], w.context[j]);
            for (int s = 0; s < S; s++) accumulate(sum, w.fake[i][s], w.noise[s]);
            add(centre + (long)word(W + i) * DIM, sum);
        }
        for (int j = 0; j < PLACES; j++) {
            if (!exists(j)) continue;
            vec sum[D / L] = {};
            for (int i = std::max(0, j - 2 * W); i <= std::min(centres - 1, j); i++)
                accumulate(sum, w.pair[i][j - i / R * R], w.centre[i]);
            add(context + (long)word(j) * DIM, sum);
        }
        for (int s = 0; s < S; s++) {
            vec sum[D / L] = {};
            for (int i = 0; i < centres; i++) accumulate(sum, w.fake[i][s], w.centre[i]);
            add(context + (long)noise[s] * DIM, sum);
        }
    }

    static void accumulate(vec* sum, float factor, const float* row) {
        const vec f = all(factor);
        for (int k = 0; k < D / L; k++) sum[k] += f * at(row + k * L);
    }
};

template <bool LOSS>
static void blocks(float* centre, float* context, const Text& text, long begin, long end, float rate, Loss& loss) {
    const auto memory = std::make_unique<Work>();  // all zeros
    Work& w = *memory;
    for (long b = begin; b < end; b++) {
        Block block{text, b * T, text.noise + b * S, w};
        block.gather(centre, context);
        for (int i = 0; i < T; i += R) block.scores(i);
        for (int i = 0; i < block.centres(); i++) block.differentiate<LOSS>(i, rate, loss);
        block.step(centre, context);
    }
}

// Goes over the text once. With one thread the result is the same each time; several write to the tables without
// waiting for each other (Niu et al. 2011, "Hogwild!").
//
// `loss` receives the sum of the losses of all pairs and their number, each pair's loss taken before its step; null
// saves the time.
extern "C" void skip_gram(float* centre, float* context, const int32_t* ids, const int32_t* sentence,
                          const uint8_t* reach, long tokens, const int32_t* noise, float negatives, float rate,
                          int threads, double* loss) {
    const Text text{ids, sentence, reach, tokens, noise, negatives};
    const long count = (tokens + T - 1) / T;
    std::vector<Loss> losses(threads);
    auto work = [&](int thread) {
        const long begin = count * thread / threads, end = count * (thread + 1) / threads;
        if (loss) blocks<true>(centre, context, text, begin, end, rate, losses[thread]);
        else blocks<false>(centre, context, text, begin, end, rate, losses[thread]);
    };
    std::vector<std::thread> crew;
    for (int thread = 1; thread < threads; thread++) crew.emplace_back(work, thread);
    work(0);
    for (auto& member : crew) member.join();
    for (int thread = 0; loss && thread < threads; thread++) {
        loss[0] += losses[thread].sum;
        loss[1] += losses[thread].pairs;
    }
}
