// date-fns: arithmetic, formats and locales, over the engine's Date and Intl.

import {
  addMonths, differenceInBusinessDays, eachDayOfInterval, format, formatDistanceStrict, formatDuration, formatISO, intlFormat,
  intervalToDuration, isValid, parse, parseISO, startOfWeek,
} from "date-fns";
import { de, ja } from "date-fns/locale";
import { UTCDate } from "./utc-date.js";
import { equal, same } from "../../kit/suite.js";

export const dateFns = {
  async date_fns() {
    const day = new Date(2024, 1, 29, 13, 5, 9);
    equal(format(day, "yyyy-MM-dd'T'HH:mm:ss EEEE do QQQ"), "2024-02-29T13:05:09 Thursday 29th Q1");
    equal(format(addMonths(day, 12), "PPPP"), "Friday, February 28th, 2025");
    equal(format(day, "EEEE, d. MMMM yyyy", { locale: de }), "Donnerstag, 29. Februar 2024");
    equal(format(day, "PPP", { locale: ja }), "2024年2月29日");
    equal(format(startOfWeek(day, { weekStartsOn: 1 }), "yyyy-MM-dd"), "2024-02-26");
    equal(parse("03/04/2021 5:06 PM", "dd/MM/yyyy h:mm a", day).getTime(), new Date(2021, 3, 3, 17, 6).getTime());
    equal(isValid(parseISO("2021-02-30")), false);
    equal(parseISO("2021-02-03T04:05:06.789+02:00").toISOString(), "2021-02-03T02:05:06.789Z");
    same(intervalToDuration({ start: day, end: new Date(2025, 3, 1, 13, 5, 10) }), { years: 1, months: 1, days: 4, seconds: 1 });
    equal(formatDuration({ hours: 2, minutes: 5 }), "2 hours 5 minutes");
    equal(formatDistanceStrict(day, new Date(2024, 2, 10), { addSuffix: true }), "9 days ago");
    equal(differenceInBusinessDays(new Date(2024, 2, 11), day), 7);
    equal(eachDayOfInterval({ start: day, end: addMonths(day, 1) }).length, 30);
    equal(intlFormat(day, { year: "numeric", month: "long", day: "numeric" }, { locale: "fr-FR" }), "29 février 2024");
    equal(formatISO(new Date(Date.UTC(2024, 0, 1)), { in: (value) => new UTCDate(value) }), "2024-01-01T00:00:00Z");
  },
};
