"""Plain Python: what the stand-in computes, one number after the other, and the usual losses from it."""

import math

from stand_in import DEPTH, VOCABULARY

V = range(VOCABULARY)


def states(model, row, length=None):
    """After each layer [position][unit], for a row filled up with padding on the right to `length` positions."""
    w = model.weight.tolist()
    padding = (length or len(row.ids)) - len(row.ids)
    hidden = [list(w[token]) for token in row.ids] + [[0.0] * VOCABULARY] * padding
    found = []
    for _ in range(DEPTH):
        after = []
        for position, own in enumerate(hidden):
            seen = hidden[: min(position + 1, len(row.ids))]
            context = [sum(state[k] for state in seen) / len(seen) for k in V]
            after.append([own[v] + sum(context[k] * w[v][k] for k in V) for v in V])
        found.append(after)
        hidden = after
    return found


def answer_states(model, row, layer):
    """The states of a layer (from 0) at the positions that predict an answer token."""
    return states(model, row)[layer][row.prompt - 1 : len(row.ids) - 1]


def log_softmax(logits):
    norm = math.log(sum(math.exp(z) for z in logits))
    return [z - norm for z in logits]


def token_log_probs(model, row):
    """Per answer token the log-probabilities [V] of the position that predicts it, and the token."""
    return [
        (log_softmax(logits), token)
        for logits, token in zip(answer_states(model, row, DEPTH - 1), row.ids[row.prompt :], strict=True)
    ]


def logp(model, row):
    return sum(table[token] for table, token in token_log_probs(model, row))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def naive_ce(model, rows):
    return mean(-table[token] for row in rows for table, token in token_log_probs(model, row))


def naive_entropy(model, rows):
    return mean(-sum(math.exp(p) * p for p in table) for row in rows for table, _ in token_log_probs(model, row))


def naive_kl(first, second, rows):
    """KL(first || second), so (reference, model) is the forward direction."""
    return mean(
        sum(math.exp(p) * (p - q) for p, q in zip(ours, theirs, strict=True))
        for row in rows
        for (ours, _), (theirs, _) in zip(token_log_probs(first, row), token_log_probs(second, row), strict=True)
    )


def naive_dpo(model, reference, chosen, rejected, beta):
    margins = []
    for good, bad in zip(chosen, rejected, strict=True):
        gains = [logp(model, row) - logp(reference, row) for row in (good, bad)]
        margins.append(beta * (gains[0] - gains[1]))
    return mean(math.log(1 + math.exp(-margin)) for margin in margins)


def naive_npo(model, reference, rows, beta):
    return mean(2 / beta * math.log(1 + math.exp(beta * (logp(model, row) - logp(reference, row)))) for row in rows)


def naive_softened_kl(first, second, rows, temperature):
    """T^2 KL(first || second) of softmax(logits / T)."""
    values = []
    for row in rows:
        pairs = zip(answer_states(first, row, DEPTH - 1), answer_states(second, row, DEPTH - 1), strict=True)
        for pair in pairs:
            ours, theirs = (log_softmax([z / temperature for z in logits]) for logits in pair)
            values.append(sum(math.exp(p) * (p - q) for p, q in zip(ours, theirs, strict=True)))
    return temperature**2 * mean(values)


def naive_squares(model, rows, layer, target):
    """Mean over answer positions and units of (h - target)^2; `target` gives the units of a position of a row."""
    squares = []
    for row in rows:
        for position, hidden in enumerate(answer_states(model, row, layer)):
            squares.append(mean((h - t) ** 2 for h, t in zip(hidden, target(row, position), strict=True)))
    return mean(squares)


def naive_length(model, rows, layer):
    return mean(math.sqrt(sum(h * h for h in hidden)) for row in rows for hidden in answer_states(model, row, layer))


def naive_simnpo(model, rows, beta, gamma):
    margins = [beta / (len(row.ids) - row.prompt) * -logp(model, row) - gamma for row in rows]
    return mean(2 / beta * math.log(1 + math.exp(-margin)) for margin in margins)


def naive_weighted_ce(model, rows, weight):
    """Mean over answer tokens of weight(p) times -log p."""
    tokens = [table[token] for row in rows for table, token in token_log_probs(model, row)]
    return mean(-weight(math.exp(log_p)) * log_p for log_p in tokens)


def naive_undial(model, reference, rows, beta):
    values = []
    for row in rows:
        for logits, (table, token) in zip(
            answer_states(reference, row, DEPTH - 1), token_log_probs(model, row), strict=True
        ):
            goal = log_softmax([z - beta * (v == token) for v, z in zip(V, logits, strict=True)])
            values.append(-sum(math.exp(q) * p for q, p in zip(goal, table, strict=True)))
    return mean(values)


def naive_ceu(model, rows):
    """Without the first answer token of every row."""
    values = []
    for row in rows:
        for table, token in token_log_probs(model, row)[1:]:
            rest = 1 - math.exp(table[token])
            values.append(-sum(math.exp(p) / rest * p for v, p in zip(V, table, strict=True) if v != token))
    return mean(values)


def naive_flatness(model, rows):
    return mean(
        (max(logits) - sum(logits) / VOCABULARY) ** 2 for row in rows for logits in answer_states(model, row, DEPTH - 1)
    )
