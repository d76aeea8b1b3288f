/** How an evaluation by the compiled engine can end other than with a value. */

/** The evaluation of a policy failed as Cedar lets it fail: the policy is skipped, and is told as an error. */
export class EvaluationError extends Error {
  override readonly name = "EvaluationError";
}

/** Something that this engine doesn't represent: the reference engine must be asked. */
export class Unrepresentable extends Error {
  override readonly name = "Unrepresentable";
}
