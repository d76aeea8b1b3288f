/** Cedar's decimal: four digits after the point, in 64 bits. */
import { fitsLong, type Long, longOf } from "./long.ts";

/** In ten-thousandths. */
export type Decimal = { readonly kind: "decimal"; readonly units: Long };

const form = /^(-?)(\d+)\.(\d{1,4})$/;

/** Reads `1.5`; nothing where the text is no decimal. */
export const readDecimal = (text: string): Decimal | undefined => {
  const match = form.exec(text);
  if (!match) return undefined;
  const magnitude = BigInt(match[2]! + match[3]!.padEnd(4, "0"));
  const units = match[1] === "-" ? -magnitude : magnitude;
  return fitsLong(units) ? { kind: "decimal", units: longOf(units) } : undefined;
};
