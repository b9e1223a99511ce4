#define _GNU_SOURCE
#include "screen.h"

#include <fcntl.h>
#include <regex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "machine.h"

enum {
    GLYPH_ROWS = 16, /* of eight pixels each */
    GLYPHS = 256,
    TEXT_MODE_WIDTH = 720,  /* 80 characters, each nine pixels wide */
    TEXT_MODE_WRONG = 24,   /* pixels of a cell: the video BIOS's font is not quite Linux's */
    BRIGHT = 0x50,          /* of 255, of the brightest colour: more is text, less background */
    MAX_TEXT_BYTES = 65536, /* larger than any screen */
};

struct image {
    char *data;
    const uint8_t *pixels; /* three bytes each */
    unsigned int width, height;
};

/* As lib/fonts/font_8x16.c has it: four words, the third the size, then glyph 0, blank, and 1. */
static const uint8_t font_start[] = {
    0, 0, 0,    0,    0,    0,    0,    0,    0,    0x10, 0,    0,    0, 0, 0, 0, /* words */
    0, 0, 0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0, 0, /* glyph 0 */
    0, 0, 0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd, 0x99, 0x81, 0x81, 0x7e, 0, 0,       /* glyph 1 */
};

/* False: there is none in it. */
static bool load_font(const char *kernel, uint8_t font[GLYPHS * GLYPH_ROWS])
{
    int fd = kernel != NULL ? open(kernel, O_RDONLY | O_CLOEXEC) : -1;
    const uint8_t *found = NULL;
    struct stat st;
    void *map;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0) {
        size_t size = (size_t)st.st_size;

        map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map != MAP_FAILED) {
            found = memmem(map, size, font_start, sizeof(font_start));
            if (found != NULL && (size_t)(found - (uint8_t *)map) + 16 + GLYPHS * GLYPH_ROWS < size)
                memcpy(font, found + 16, GLYPHS * GLYPH_ROWS);
            munmap(map, size);
        }
    }
    close(fd);
    return found != NULL;
}

static bool load_image(const char *path, struct image *image)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), header_len;
    size_t size;
    struct stat st;
    bool good = false;

    memset(image, 0, sizeof(*image));
    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && (image->data = calloc(1, (size_t)st.st_size + 1)) != NULL &&
        read(fd, image->data, (size_t)st.st_size) == st.st_size &&
        sscanf(image->data, "P6 %u %u 255%*1[\n]%n", &image->width, &image->height, &header_len) ==
            2) {
        size = (size_t)st.st_size - (size_t)header_len;
        image->pixels = (const uint8_t *)image->data + header_len;
        good = image->width < 16384 && image->height < 16384 &&
               size >= 3 * (size_t)image->width * image->height;
    }
    close(fd);
    return good;
}

static bool is_bright(const struct image *image, unsigned int x, unsigned int y)
{
    const uint8_t *p = image->pixels + 3 * ((size_t)y * image->width + x);

    return p[0] > BRIGHT || p[1] > BRIGHT || p[2] > BRIGHT;
}

/* The printable character that looks most like the cell; '?' when none does. */
static char read_cell(const struct image *image, const uint8_t *font, unsigned int x,
                      unsigned int y)
{
    unsigned int best = image->width == TEXT_MODE_WIDTH ? TEXT_MODE_WRONG : 1;
    uint8_t rows[GLYPH_ROWS] = { 0 };
    char c = '?';

    for (unsigned int i = 0; i < GLYPH_ROWS; i++) {
        for (unsigned int j = 0; j < 8; j++)
            rows[i] = (uint8_t)(rows[i] | is_bright(image, x + j, y + i) << (7 - j));
    }
    for (unsigned int glyph = ' '; glyph <= '~'; glyph++) {
        unsigned int wrong = 0;

        for (unsigned int i = 0; i < GLYPH_ROWS; i++) {
            uint8_t differ = (uint8_t)(rows[i] ^ font[glyph * GLYPH_ROWS + i]);

            wrong += (unsigned int)__builtin_popcount(differ);
        }
        if (wrong < best) {
            best = wrong;
            c = (char)glyph;
        }
    }
    return c;
}

/* The screen's lines, without blanks at their ends. */
static char *read_text(const struct image *image, const uint8_t *font)
{
    unsigned int cell = image->width == TEXT_MODE_WIDTH ? 9 : 8;
    char *text = calloc(1, MAX_TEXT_BYTES);
    size_t n = 0, end = 0;

    if (text == NULL)
        abort();
    for (unsigned int y = 0; y + GLYPH_ROWS <= image->height; y += GLYPH_ROWS) {
        for (unsigned int x = 0; x + 8 <= image->width && n + 2 < MAX_TEXT_BYTES; x += cell) {
            text[n++] = read_cell(image, font, x, y);
            if (text[n - 1] != ' ')
                end = n;
        }
        text[end] = '\n';
        n = ++end;
    }
    text[end] = '\0';
    return text;
}

static char *take(struct machine *m, const char *path, const uint8_t *font)
{
    struct image image;
    char command[640];
    char *text = NULL;

    snprintf(command, sizeof(command),
             "{\"execute\":\"screendump\",\"arguments\":{\"filename\":\"%s\"}}\n", path);
    if (!machine_qmp(m, command))
        return NULL;
    if (load_image(path, &image))
        text = read_text(&image, font);
    free(image.data);
    return text;
}

bool screen_expect(struct machine *m, const char *path, const char *kernel, const char *regex,
                   double timeout_s)
{
    double deadline = machine_seconds(m) + timeout_s;
    uint8_t font[GLYPHS * GLYPH_ROWS];
    bool met = false;
    char *text = NULL;
    regex_t compiled;

    if (!load_font(kernel, font))
        return machine_fail(m, "no 8x16 font in %s", kernel != NULL ? kernel : "(no kernel)");
    if (regcomp(&compiled, regex, REG_EXTENDED | REG_NEWLINE | REG_NOSUB) != 0)
        return machine_fail(m, "bad regular expression: %s", regex);
    do {
        free(text);
        text = take(m, path, font);
        met = text != NULL && regexec(&compiled, text, 0, NULL, 0) == 0;
    } while (!met && machine_seconds(m) < deadline && machine_expect_alive(m, 0.5));
    machine_note(m, "the screen", text != NULL ? text : "(none)");
    regfree(&compiled);
    free(text);
    return met || machine_fail(m, "not on the screen: %s", regex);
}
