/* SPDX-License-Identifier: Apache-2.0 */

/* What the commands of tool.c, tool_sclp.c and tool_fastpath.c share. */

#ifndef TOOL_H
#define TOOL_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void die(const char *why);

/* Returns the bytes that 'hex' names, for the caller to free, in a block of
 * just that size, so that AddressSanitizer sees a read beyond. */
uint8_t *from_hex(const char *hex, size_t *size);

void print_hex(const void *data, size_t size);
const char *boolean(bool value);

/* Returns the next argument of the command at hand. */
unsigned long int next_number(void);

/* Run the command if it is one of tool_sclp.c or tool_fastpath.c, else return
 * false. */
bool run_sclp(const char *command);
bool run_fastpath(const char *command);

#endif /* tool.h */
