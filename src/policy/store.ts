/** What policies need kept: every set that was ever in force, so that its decisions can be judged again. */
export type PolicySetStore = {
  /** Keeps a set's source under its digest; keeping it again changes nothing. */
  keepPolicySet: (set: { digest: string; body: string }) => Promise<void>;
};
