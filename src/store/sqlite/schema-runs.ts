/** What runs are found by besides their ids. A step of the data directory's versions. */

export const runIndices = `
  create index run_agent on run (agent, started_at);
`;
