/** Checks what a request brings against a shape, and names the first field at fault. */
import type { z } from "zod";
import { Problem } from "../kit/problem.ts";

/** @throws Problem `invalid_request` naming the first field at fault */
export const shaped = <T>(shape: z.ZodType<T>, value: unknown): T => {
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message, ...issue } = parsed.error.issues[0]!;
  const unknown = issue.code === "unrecognized_keys" ? issue.keys : [];
  const field = [...path, ...unknown].join(".");
  throw new Problem("invalid_request", field === "" ? message : `${field}: ${message}`, { field });
};

/** RFC 3339 to microseconds; the shape has checked it. */
export const instantOf = (text: string): number => Date.parse(text) * 1000;

/** Microseconds to RFC 3339, never earlier than they are. */
export const instantText = (at: number): string => new Date(Math.ceil(at / 1000)).toISOString();
