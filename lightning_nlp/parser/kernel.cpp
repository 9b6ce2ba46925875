// Greedy transition parsing, and following the oracle, a sentence at a time: the loops of `TransitionScorer.decide` and
// `TransitionScorer.examples` without a tensor a step.
//
// Compiled for one number of PLACES, CHILDREN, HIDDEN units and LABELS, with SWAP and LABELLED 0 or 1 (-D options;
// see kernel.py). Names, numbers and the order of features are those of transitions.py and transition_scorer.py.

#include <cmath>
#include <limits>

#include "native.h"

constexpr int CLASSES = 2 + 2 * LABELS;
constexpr int WIDTH = (CLASSES + LANES - 1) / LANES * LANES;
enum Transition { SHIFT_, SWAP_, LEFT_, RIGHT_ };
enum Arcs { ARCS, LAST_ARC, NO_ARC };  // two words on the stack; the root and the last word; neither

static const float NEVER = -std::numeric_limits<float>::infinity();

template <class T>
struct Weights {
    const T* labels;         // [LABELS + 1, CHILDREN, HIDDEN]
    const float* bias;       // [HIDDEN]
    const T* out;            // [HIDDEN / PAIR, WIDTH, PAIR]
    const float* out_bias;   // [WIDTH]
    float barred[3][WIDTH];  // 0 or minus infinity for each class: ARCS, LAST_ARC, NO_ARC

    // `allowed` [2, LABELS] tells labels of arcs from a word, and from the root.
    Weights(const T* labels, const float* bias, const T* out, const float* out_bias, const uint8_t* allowed)
        : labels(labels), bias(bias), out(out), out_bias(out_bias) {
        std::fill(&barred[0][0], &barred[0][0] + 3 * WIDTH, NEVER);
        for (auto& state : barred) state[SHIFT_] = state[SWAP_] = 0.f;
        for (int label = 0; label < LABELS; label++) {
            if (allowed[label]) barred[ARCS][2 + 2 * label] = barred[ARCS][3 + 2 * label] = 0.f;
            if (allowed[LABELS + label]) barred[LAST_ARC][3 + 2 * label] = 0.f;
        }
    }
};

// Where the parser of a sentence is; as in transitions.py, with arrays by word, the last of which is `nothing`.
struct State {
    int nothing;
    int64_t *heads, *labels;                                  // labels plus 1, 0 for none
    std::vector<int> stack{0}, buffer;                        // the top is last
    std::vector<int> left, right, left_before, right_before;  // children attached last, and before last

    State(int length, int nothing, int64_t* heads, int64_t* labels)
        : nothing(nothing), heads(heads), labels(labels), left(nothing + 1, nothing), right(left), left_before(left),
          right_before(left) {
        for (int word = length; word > 0; word--) buffer.push_back(word);
    }

    int top(const std::vector<int>& words, size_t k) const {
        return k < words.size() ? words[words.size() - 1 - k] : nothing;
    }

    bool is_final() const { return stack.size() == 1 && buffer.empty(); }
    bool has_two_words() const { return stack.size() >= 3; }
    bool may_shift() const { return !buffer.empty(); }
    bool may_swap() const { return SWAP && has_two_words() && top(stack, 1) < top(stack, 0); }
    Arcs arcs() const { return has_two_words() ? ARCS : stack.size() == 2 && buffer.empty() ? LAST_ARC : NO_ARC; }

    // The words at the places of the features, those of children last.
    struct Places {
        int word[18];
    };
    Places places() const {
        const int first = top(stack, 0), second = top(stack, 1);
        return {{first, second, top(stack, 2), top(buffer, 0),
#if PLACES == 18
                 top(buffer, 1), top(buffer, 2),
#endif
                 left[first], left[second], right[first], right[second],
                 left_before[first], left_before[second], right_before[first], right_before[second],
                 left[left[first]], left[left[second]], right[right[first]], right[right[second]]}};
    }
    int64_t child_label(const Places& places, int child) const {
        return labels[places.word[PLACES - CHILDREN + child]];
    }

    // Returns the word that got a head, or nothing.
    int apply(int transition, int label) {
        const int first = top(stack, 0), second = top(stack, 1);
        if (transition == SHIFT_) {
            stack.push_back(buffer.back());
            buffer.pop_back();
            return nothing;
        }
        stack.pop_back();
        if (transition == SWAP_) {
            stack.back() = first;
            buffer.push_back(second);
            return nothing;
        }
        if (transition == RIGHT_) return attach(second, first, label, right, right_before);
        stack.back() = first;
        return attach(first, second, label, left, left_before);
    }

    int attach(int head, int child, int label, std::vector<int>& children, std::vector<int>& before) {
        heads[child] = head;
        labels[child] = label;
        before[head] = children[head];
        children[head] = child;
        return child;
    }
};

// -- parsing ----------------------------------------------------------------------------------------------------------

template <class T>
struct Parser {
    const Weights<T>& weights;
    const T* table;  // of root and words, [words, stride], of which PLACES * HIDDEN numbers count
    const T* nothing;  // [PLACES, HIDDEN]
    long stride;
    State state;
    float* scores;  // [nothing + 1]
    alignas(64) T hidden[HIDDEN];
    alignas(64) float score[WIDTH];

    void read_state() {
        const State::Places places = state.places();
        const T* row[PLACES + CHILDREN];
        for (int place = 0; place < PLACES; place++) {
            const int word = places.word[place];
            row[place] = (word == state.nothing ? nothing : table + word * stride) + place * HIDDEN;
        }
        for (int child = 0; child < CHILDREN; child++)
            row[PLACES + child] = weights.labels + (state.child_label(places, child) * CHILDREN + child) * HIDDEN;
        int unit = 0;
        for (; unit + LANES <= HIDDEN; unit += LANES) {
            vec sum = load(weights.bias + unit);
            for (const T* of : row) sum += load(of + unit);
            store(hidden + unit, sum > 0.f ? sum : vec{});
        }
        for (; unit < HIDDEN; unit++) {
            float sum = weights.bias[unit];
            for (const T* of : row) sum += load_one(of + unit);
            store_one(hidden + unit, std::max(sum, 0.f));
        }
    }

    // Scores all classes, bars what is not legal, and returns the best.
    int best_class() {
        vec sum[WIDTH / LANES];
        for (int c = 0; c < WIDTH / LANES; c++) sum[c] = load(weights.out_bias + LANES * c);
        for (int unit = 0; unit < HIDDEN; unit += PAIR<T>) {
            const T* row = weights.out + (long)unit * WIDTH;
            for (int c = 0; c < WIDTH / LANES; c++)
                sum[c] = multiply_add(hidden + unit, row + LANES * PAIR<T> * c, sum[c]);
        }
        const float* barred = weights.barred[state.arcs()];
        for (int c = 0; c < WIDTH / LANES; c++) store(score + LANES * c, sum[c] + load(barred + LANES * c));
        if (!state.may_shift()) score[SHIFT_] = NEVER;
        if (!state.may_swap()) score[SWAP_] = NEVER;
        vec most = load(score);
        for (int c = 1; c < WIDTH / LANES; c++) {
            const vec x = load(score + LANES * c);
            most = x > most ? x : most;
        }
        float best = most[0];
        for (int lane = 1; lane < LANES; lane++) best = std::max(best, most[lane]);
        const int chosen = std::find(score, score + CLASSES, best) - score;
        if (best > NEVER && chosen < CLASSES) return chosen;  // else scores are no numbers: anything legal will do
        return state.may_shift() ? SHIFT_ : std::find(barred + 2, barred + CLASSES, 0.f) - barred;
    }

    void run() {
        while (!state.is_final()) {
            read_state();
            const int chosen = best_class();
            const int transition = chosen < 2 ? chosen : 2 + chosen % 2;
            const int child = state.apply(transition, (chosen - 2) / 2 + 1);
            if (transition >= LEFT_) scores[child] = log_probability(chosen);
        }
    }

    float log_probability(int chosen) const {
        vec sums = {};
        for (int c = 0; c < WIDTH; c += LANES) sums += exp(load(score + c) - score[chosen]);
        float sum = 0;
        for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
        return -std::log(sum);
    }
};

// What each word adds to the hidden layer at each place, of one sentence at a time, which stays in the cache.
template <class T>
struct Table {
    static constexpr long STRIDE = (PLACES * HIDDEN + 4 * LANES - 1) / (4 * LANES) * 4 * LANES;
    const long dim;
    const Array<T> weights, nothing;

    Table(const T* words, const T* nothing, long dim, long threads)
        : dim(dim), weights(packed_columns(words, dim, PLACES * HIDDEN, 1, dim, threads)), nothing(of(nothing, 1)) {}

    // Of states [rows, dim].
    Array<T> of(const T* states, long rows) const {
        Array<T> table(new T[rows * STRIDE]);
        for (long block = 0; block < STRIDE; block += 4 * LANES)
            in_groups(0, rows, [&](auto count, long row) {
                constexpr int R = decltype(count)::value;
                vec sums[R][4] = {};
                multiply<T, R>(states + row * dim, dim, weights.get() + block * dim, dim, sums);
                T* const to = table.get() + row * STRIDE + block;
                for (int r = 0; r < R; r++)
                    for (int j = 0; j < 4; j++) store(to + r * STRIDE + j * LANES, sums[r][j]);
            });
        return table;
    }
};

// Parses all sentences. `states` [batch, width, dim] are those of root and words, `words` [PLACES * HIDDEN, dim] are
// weights. Heads, labels (plus 1, 0 for none) and scores have `width + 1` places a sentence, by word, the root first;
// labels must come as zeros.
template <class T>
static void parse(const T* states, const T* words, const T* nothing, const Weights<T>& weights, const int64_t* lengths,
                  int64_t* heads, int64_t* labels, float* scores, long batch, long width, long dim, long threads) {
    const Table<T> tables(words, nothing, dim, threads);
    run_parts(batch, threads, [&](long b) {
        const auto table = tables.of(states + b * width * dim, lengths[b] + 1);
        const long at = b * (width + 1);
        const State state(lengths[b], lengths[b] + 1, heads + at, labels + at);
        Parser<T>{weights, table.get(), tables.nothing.get(), tables.STRIDE, state, scores + at}.run();
    });
}

#define PARSE(NAME, T)                                                                                                \
    extern "C" void NAME(const T* states, const T* words, const T* nothing, const T* labels, const float* bias,       \
                         const T* out, const float* out_bias, const uint8_t* allowed, const int64_t* lengths,         \
                         int64_t* heads, int64_t* found, float* scores, long batch, long width, long dim,             \
                         long threads) {                                                                              \
        parse(states, words, nothing, Weights<T>(labels, bias, out, out_bias, allowed), lengths, heads, found,        \
              scores, batch, width, dim, threads);                                                                    \
    }
PARSE(float32_parse, float)
#if defined(__AVX512BF16__) && HIDDEN % 16 == 0
PARSE(bfloat16_parse, Bfloat)
#endif

// -- learning ---------------------------------------------------------------------------------------------------------

// Tells the next transition towards a tree; as `Oracle` in oracle.py.
struct Oracle {
    std::vector<int64_t> head;         // by word, of the tree that is to be built
    std::vector<int64_t> order;        // by word, where words are to be swapped; else empty
    const int64_t* component;          // by word
    std::vector<int> missing;          // children that each word has not got

    Oracle(const int64_t* heads, const int64_t* order, const int64_t* component, int length, int nothing)
        : head(heads, heads + nothing + 1), component(component), missing(nothing + 1) {
        for (int word = 1; word <= length; word++) missing[head[word]]++;
        if (order && component[0] >= 0) this->order.assign(order, order + nothing + 1);
    }

    int operator()(const State& state) const {
        const int first = state.top(state.stack, 0), second = state.top(state.stack, 1);
        const bool two = state.stack.size() >= 2;
        if (two && head[second] == first && !missing[second]) return LEFT_;
        if (two && head[first] == second && !missing[first] && (state.has_two_words() || state.buffer.empty()))
            return RIGHT_;
        return wants_swap(state) ? SWAP_ : SHIFT_;
    }

    bool wants_swap(const State& state) const {
        const int first = state.top(state.stack, 0), second = state.top(state.stack, 1);
        return !order.empty() && state.has_two_words() && second < first && order[first] < order[second] &&
               component[first] != component[state.top(state.buffer, 0)];
    }

    void took(int transition, int head) {
        if (transition >= LEFT_) missing[head]--;
    }

    // Leads to a tree that can still be built after a transition which is not its own, in no more than so many steps;
    // or says that it knows none, and changes nothing.
    bool follow(const State& state, int transition, long steps) {
        Oracle other = *this;
        if (!other.adapt(state, transition)) return false;
        if (!order.empty()) {
            other.sort();
            if (!other.arrives(state, transition, steps)) return false;
        }
        *this = std::move(other);
        return true;
    }

    // Makes the tree one that can be built after a transition, for sure where words stay in the order of the sentence.
    bool adapt(const State& state, int transition) {
        const int first = state.top(state.stack, 0), second = state.top(state.stack, 1);
        if (transition == LEFT_) return attach(state, first, second);
        if (transition == RIGHT_) return attach(state, second, first);
        if (transition == SWAP_) return !order.empty();
        if (wants_swap(state)) return true;
        // The arc between the words on top waits until the one below has taken in what comes next.
        const int next = state.top(state.buffer, 0);
        int whole = next;
        while (head[whole] > next) whole = head[whole];
        if (is_below(first, whole)) return false;
        move(whole, first);
        return true;
    }

    bool arrives(State state, int transition, long steps) const {
        std::vector<int64_t> heads(state.heads, state.heads + state.nothing + 1), labels(heads.size());
        state.heads = heads.data(), state.labels = labels.data();
        for (Oracle on = *this; steps > 0; steps--) {
            if (transition == SHIFT_ && !state.may_shift()) return false;
            on.took(transition, heads[state.apply(transition, 0)]);
            if (state.is_final()) return true;
            transition = on(state);
        }
        return false;
    }

    // Puts words into the order in which the tree is projective; as `projective_order` in projectivity.py.
    void sort() {
        std::vector<std::vector<int>> children(head.size());
        for (size_t word = 1; word + 1 < head.size(); word++) children[head[word]].push_back(word);
        int place = 0;
        const auto write = [&](const auto& self, int word) -> void {
            size_t child = 0;
            while (child < children[word].size() && children[word][child] < word) self(self, children[word][child++]);
            order[word] = place++;
            while (child < children[word].size()) self(self, children[word][child++]);
        };
        write(write, 0);
    }

    // A child that leaves the stack leaves its missing children to its head, and its place to a head from below it.
    bool attach(const State& state, int to, int child) {
        const int above = head[child];
        if (is_below(to, child)) move(to, above);
        if (missing[child])
            for (int word = 1; word < state.nothing; word++)
                if (head[word] == child && state.heads[word] == state.nothing) move(word, to);
        move(child, to);
        return true;
    }

    void move(int word, int to) {
        missing[head[word]]--;
        missing[to]++;
        head[word] = to;
    }

    bool is_below(int word, int top) const {
        while (word && word != top) word = head[word];
        return word == top;
    }
};

// Numbers from 0 to 1 (Steele et al. 2014, SplitMix).
struct Random {
    uint64_t seed;
    float operator()() {
        uint64_t x = seed += 0x9e3779b97f4a7c15;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
        x = (x ^ x >> 27) * 0x94d049bb133111eb;
        return ((x ^ x >> 31) >> 40) * 0x1p-24f;
    }
};

// Where the parser would go, and how often it may: by its weights, or nowhere without.
template <class T>
struct Exploration {
    const Weights<T>* weights;
    const T* table;  // [batch, width, PLACES, HIDDEN]
    float chance;
    uint64_t seed;
};

// Follows the oracle through all sentences. With no place for `rows` it only counts the steps of each; else it writes,
// from the step where a sentence begins, the rows of the tables that its states look at, classes and legal classes. An
// exploring parser makes its own mistakes on the way, and learns what is best after them; `heads` become those of the
// trees that come of it.
template <class T>
static void follow_all(int64_t* heads, const int64_t* labels, const int64_t* order, const int64_t* component,
                       const uint8_t* allowed, const int64_t* lengths, int64_t* steps, int64_t* rows,
                       int64_t* label_rows, int64_t* classes, uint8_t* legal, long batch, long width, long threads,
                       const Exploration<T>& exploration) {
    run_parts(batch, threads, [&](long b) {
        const int nothing = width - 1;
        std::vector<int64_t> found(width, nothing), given(width, 0);
        const long at = b * width;
        State start(lengths[b], nothing, found.data(), given.data());
        const long stride = PLACES * HIDDEN;
        const T* table = exploration.table ? exploration.table + at * stride : nullptr;
        Parser<T> parser{*exploration.weights, table, table ? table + nothing * stride : nullptr, stride, start, nullptr};
        State& state = parser.state;
        Oracle oracle(heads + at, order ? order + at : nullptr, order ? component + at : nullptr, lengths[b], nothing);
        Random random{exploration.seed + b};
        const bool explores = rows && exploration.chance > 0.f;
        long step = rows ? steps[b] : 0;
        for (; !state.is_final(); step++) {
            int transition = oracle(state);
            int label = transition < LEFT_ ? 0 : labels[at + state.top(state.stack, transition == LEFT_)];
            if (rows) {
                const State::Places places = state.places();
                for (int place = 0; place < PLACES; place++)
                    rows[step * PLACES + place] = (at + places.word[place]) * PLACES + place;
                for (int c = 0; c < CHILDREN; c++)
                    label_rows[step * CHILDREN + c] = state.child_label(places, c) * CHILDREN + c;
                classes[step] = transition + (LABELLED && transition >= LEFT_ ? 2 * (label - 1) : 0);
                uint8_t* may = legal + step * CLASSES;
                may[SHIFT_] = state.may_shift(), may[SWAP_] = state.may_swap();
                const Arcs arcs = state.arcs();
                for (int l = 0; l < LABELS; l++) {
                    may[2 + 2 * l] = arcs == ARCS && allowed[l];
                    may[3 + 2 * l] = arcs == ARCS ? allowed[l] : arcs == LAST_ARC && allowed[LABELS + l];
                }
                // A label that training never saw, or that of the root for a word which no longer is.
                if ((transition >= LEFT_ && LABELLED && !label) || !may[classes[step]]) classes[step] = -1;
            }
            if (explores && random() < exploration.chance) {
                parser.read_state();
                const int chosen = parser.best_class(), wanted = chosen < 2 ? chosen : 2 + chosen % 2;
                if (wanted == transition || oracle.follow(state, wanted, steps[b + 1] - step)) {
                    transition = wanted;
                    label = transition < LEFT_ ? 0 : (chosen - 2) / 2 + 1;
                }
            }
            const int child = state.apply(transition, label);
            oracle.took(transition, found[child]);
        }
        if (!rows) steps[b] = step;
        if (explores) std::copy(found.begin(), found.end(), heads + at);
    });
}

extern "C" void follow(int64_t* heads, const int64_t* labels, const int64_t* order, const int64_t* component,
                       const uint8_t* allowed, const int64_t* lengths, int64_t* steps, int64_t* rows,
                       int64_t* label_rows, int64_t* classes, uint8_t* legal, long batch, long width, long threads) {
    static const uint8_t none[2 * LABELS] = {};
    const Weights<float> weights(nullptr, nullptr, nullptr, nullptr, none);
    follow_all<float>(heads, labels, order, component, allowed, lengths, steps, rows, label_rows, classes, legal, batch,
                      width, threads, {&weights, nullptr, 0.f, 0});
}

#define EXPLORE(NAME, T)                                                                                              \
    extern "C" void NAME(int64_t* heads, const int64_t* labels, const int64_t* order, const int64_t* component,       \
                         const uint8_t* allowed, const int64_t* lengths, int64_t* steps, int64_t* rows,               \
                         int64_t* label_rows, int64_t* classes, uint8_t* legal, const T* table, const T* added,       \
                         const float* bias, const T* out, const float* out_bias, long batch, long width, long seed,   \
                         float chance, long threads) {                                                                \
        const Weights<T> weights(added, bias, out, out_bias, allowed);                                                \
        follow_all<T>(heads, labels, order, component, allowed, lengths, steps, rows, label_rows, classes, legal,     \
                      batch, width, threads, {&weights, table, chance, (uint64_t)seed});                              \
    }
EXPLORE(float32_explore, float)
#if defined(__AVX512BF16__) && HIDDEN % 16 == 0
EXPLORE(bfloat16_explore, Bfloat)
#endif
