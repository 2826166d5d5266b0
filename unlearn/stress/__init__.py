"""What is done to a model between loading and evaluating it, to see whether forgetting holds; config/stress."""
