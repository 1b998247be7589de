// crypto.subtle against the vectors of its standards, then every algorithm and format there and back,
// then what each refuses and with which error.

import { suite } from "../kit/suite.js";
import { asymmetric } from "./asymmetric.js";
import { errors } from "./errors.js";
import { random } from "./random.js";
import { symmetric } from "./symmetric.js";
import { words } from "./words.js";

export default suite({ ...symmetric, ...asymmetric, ...errors, ...random, ...words });
