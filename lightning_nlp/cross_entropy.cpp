// Cross entropy with label smoothing, and its gradient in the place of the logits.
//
// With p = softmax(logits), smoothing e and V classes, the loss of a row is -(1 - e) log p[target] - e / V sum(log p),
// and its gradient in the logits p - (1 - e) [target] - e / V (see cross_entropy.py).

#include <cmath>

#include "native.h"

// Calls f(numbers, first class) for each register of a row; the last is filled up with -infinity.
template <class T, class F>
static inline void over_classes(const T* row, long classes, F&& f) {
    const long whole = classes / LANES * LANES;
    for (long c = 0; c < whole; c += LANES) f(load(row + c), c);
    if (whole == classes) return;
    float spare[LANES];
    std::fill(spare, spare + LANES, -INFINITY);
    for (long c = whole; c < classes; c++) spare[c - whole] = load_one(row + c);
    f(load(spare), whole);
}

// Calls f(row) for all rows.
template <class F>
static void run_rows(long rows, long threads, F&& f) {
    constexpr long TOGETHER = 16;
    run_parts((rows + TOGETHER - 1) / TOGETHER, threads, [&](long part) {
        for (long row = part * TOGETHER; row < std::min(rows, (part + 1) * TOGETHER); row++) f(row);
    });
}

template <class T>
static void forward(const T* logits, const int64_t* targets, float* losses, float* log_totals, long rows, long classes,
                    float smoothing, long threads) {
    run_rows(rows, threads, [&](long row) {
        const T* const own = logits + row * classes;
        vec most = vec{} - INFINITY, sum = {}, exps = {};
        over_classes(own, classes, [&](vec x, long) { most = x > most ? x : most; });
        float top = most[0];
        for (int lane = 1; lane < LANES; lane++) top = std::max(top, most[lane]);
        over_classes(own, classes, [&](vec x, long) {
            exps += exp(x - top);
            sum += x > -INFINITY ? x : vec{};
        });
        float total = 0, all = 0;
        for (int lane = 0; lane < LANES; lane++) total += exps[lane], all += sum[lane];
        log_totals[row] = top + std::log(total);
        losses[row] = log_totals[row] - (1.f - smoothing) * load_one(own + targets[row]) - smoothing / classes * all;
    });
}

template <class T>
static void backward(T* logits, const int64_t* targets, const float* log_totals, long rows, long classes,
                     float smoothing, float scale, long threads) {
    const float spread = smoothing / classes;
    run_rows(rows, threads, [&](long row) {
        T* const own = logits + row * classes;
        const float log_total = log_totals[row], at_target = load_one(own + targets[row]);
        over_classes(own, classes, [&](vec x, long c) {
            const vec gradient = (exp(x - log_total) - spread) * scale;
            if (c + LANES <= classes) return store(own + c, gradient);
            for (long k = c; k < classes; k++) store_one(own + k, gradient[k - c]);
        });
        store_one(own + targets[row], (std::exp(at_target - log_total) - spread - (1.f - smoothing)) * scale);
    });
}

#define EXPORT(NAME, T)                                                                                               \
    extern "C" void NAME##_forward(const T* logits, const int64_t* targets, float* losses, float* log_totals,        \
                                   long rows, long classes, float smoothing, long threads) {                         \
        forward(logits, targets, losses, log_totals, rows, classes, smoothing, threads);                             \
    }                                                                                                                \
    extern "C" void NAME##_backward(T* logits, const int64_t* targets, const float* log_totals, long rows,           \
                                    long classes, float smoothing, float scale, long threads) {                      \
        backward(logits, targets, log_totals, rows, classes, smoothing, scale, threads);                             \
    }

EXPORT(float32, float)
#ifdef __AVX512BF16__
EXPORT(bfloat16, Bfloat)
#endif
