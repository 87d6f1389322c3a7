/*
 * Predict the SBR of one side or both from a NIfTI image, in C99, with libnigroedge alone.
 *
 *	predict MODEL.onnx IMAGE.nii left X,Y,Z [right X,Y,Z]
 *
 * Uses the processors granted, up to four; their number changes no bit of the answer.  X,Y,Z is
 * the centroid of nigrosome-1 in RAS+ millimetres.  The reader below takes uncompressed single-file
 * NIfTI-1 in this machine's byte order, with an sform.  It refuses all else: what it does not check
 * it does not read.  Of the image it reads the slices and rows that hold the patches, and whatever
 * becomes of the file meanwhile is a refusal; where a mapped one shrinks, the system ends the
 * program.  A program without pread() (POSIX) reads the image whole.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <nigroedge.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Byte numbers of the fields of nifti1.h that are used. */
enum {
    SIZEOF_HDR = 0,
    DIM = 40,
    DATATYPE = 70,
    BITPIX = 72,
    PIXDIM = 76,
    VOX_OFFSET = 108,
    SCL_SLOPE = 112,
    SCL_INTER = 116,
    XYZT_UNITS = 123,
    QFORM_CODE = 252,
    SFORM_CODE = 254,
    QUATERN_B = 256,
    QOFFSET_X = 268,
    SROW_X = 280,
    MAGIC = 344,
    HEADER_BYTES = 348,
    FIRST_VOXEL = 352
};

#define MAX_VOXEL_BYTES ((int64_t)1 << 31)
#define MAX_TRANSFORM_GAP_MM 1.0
#define MAX_LENGTH_GAP 0.01

/* An image in a file that is open, and as it was when it was opened. */
struct image {
    int descriptor; /* -1 if there is none */
    struct stat opened;
    int64_t first_voxel; /* bytes before it */
    struct nigro_volume volume;
    unsigned char* held; /* what volume.voxels points at; NULL until it is read */
};

/* ---------------------------------------------------------------------------------------- NIfTI */

static int32_t int16_at(const unsigned char* header, size_t at) {
    int16_t value;
    memcpy(&value, header + at, sizeof value);
    return value;
}

static int32_t int32_at(const unsigned char* header, size_t at) {
    int32_t value;
    memcpy(&value, header + at, sizeof value);
    return value;
}

static double float_at(const unsigned char* header, size_t at) {
    float value;
    memcpy(&value, header + at, sizeof value);
    return value;
}

/* Bytes of a voxel of a NIfTI datatype that libnigroedge takes, or 0. */
static int64_t voxel_bytes(int32_t datatype) {
    switch (datatype) {
        case NIGRO_UINT8:
        case NIGRO_INT8:
            return 1;
        case NIGRO_UINT16:
        case NIGRO_INT16:
            return 2;
        case NIGRO_UINT32:
        case NIGRO_INT32:
        case NIGRO_FLOAT32:
            return 4;
        case NIGRO_FLOAT64:
            return 8;
        default:
            return 0;
    }
}

/* The rows of the qform: method 2 of nifti1.h. */
static void read_qform(const unsigned char* header, double rows[12]) {
    const double b = float_at(header, QUATERN_B), c = float_at(header, QUATERN_B + 4);
    const double d = float_at(header, QUATERN_B + 8), rest = 1 - (b * b + c * c + d * d);
    const double a = rest > 0 ? sqrt(rest) : 0;
    const double qfac = float_at(header, PIXDIM) < 0 ? -1 : 1;
    const double rotation[9] = {
        a * a + b * b - c * c - d * d, 2 * (b * c - a * d),           2 * (b * d + a * c),
        2 * (b * c + a * d),           a * a + c * c - b * b - d * d, 2 * (c * d - a * b),
        2 * (b * d - a * c),           2 * (c * d + a * b),           a * a + d * d - b * b - c * c,
    };
    int i, j;

    for (i = 0; i < 3; ++i) {
        for (j = 0; j < 3; ++j)
            rows[4 * i + j] = rotation[3 * i + j] * float_at(header, PIXDIM + 4 + 4 * (size_t)j) *
                              (j == 2 ? qfac : 1);
        rows[4 * i + 3] = float_at(header, QOFFSET_X + 4 * (size_t)i);
    }
}

/* How far a corner of the volume moves from one transform to the other, in mm; NaN stays NaN. */
static double largest_gap_mm(const double p[12], const double q[12], const int64_t shape[3]) {
    double largest = 0;
    int corner, row;

    for (corner = 0; corner < 8; ++corner) {
        double square = 0;
        for (row = 0; row < 3; ++row) {
            double gap = p[4 * row + 3] - q[4 * row + 3];
            int axis;
            for (axis = 0; axis < 3; ++axis)
                gap += (p[4 * row + axis] - q[4 * row + axis]) *
                       ((corner >> axis & 1 ? (double)shape[axis] : 0) - 0.5);
            square += gap * gap;
        }
        if (!(sqrt(square) <= largest)) largest = sqrt(square);
    }
    return largest;
}

/* Whether the columns of the affine are as long as pixdim says, where it says anything. */
static int has_lengths_of_pixdim(const unsigned char* header, const double rows[12]) {
    int i;

    for (i = 0; i < 3; ++i) {
        const double x = rows[i], y = rows[4 + i], z = rows[8 + i];
        const double mm = fabs(float_at(header, PIXDIM + 4 + 4 * (size_t)i));
        if (mm != 0 && !(fabs(sqrt(x * x + y * y + z * z) / mm - 1) <= MAX_LENGTH_GAP)) return 0;
    }
    return 1;
}

/* Fills shape, strides and type; returns the bytes of all voxels, or 0 with '*why'. */
static int64_t read_layout(const unsigned char* header, struct nigro_volume* volume,
                           const char** why) {
    const int32_t n_dims = int16_at(header, DIM);
    int64_t n_bytes = voxel_bytes(int16_at(header, DATATYPE));
    int i;

    *why = "expected 8, 16 or 32 bit integers or 32 or 64 bit floats";
    if (n_bytes == 0 || int16_at(header, BITPIX) != 8 * n_bytes) return 0;
    volume->type = int16_at(header, DATATYPE);
    *why = "expected one volume of three dimensions and at most 2 GB";
    if (n_dims < 3 || n_dims > 7) return 0;
    for (i = 0; i < n_dims; ++i) {
        const int64_t n = int16_at(header, DIM + 2 + 2 * (size_t)i);
        if (n < 1 || (i >= 3 && n != 1)) return 0;
        if (i >= 3) continue;
        volume->shape[i] = n;
        volume->strides_bytes[i] = n_bytes; /* the first index is the fastest */
        n_bytes *= n;
        if (n_bytes > MAX_VOXEL_BYTES) return 0;
    }
    return n_bytes;
}

/* Fills the affine from the sform; returns 0 with '*why' if nobody can tell where the voxels lie.
 */
static int read_affine(const unsigned char* header, struct nigro_volume* volume, const char** why) {
    const int units = header[XYZT_UNITS] & 7;
    double qform[12];
    int i;

    *why = "expected lengths in millimetres";
    if (units != 0 && units != 2) return 0;
    *why = "expected an sform (sform_code above 0)";
    if (int16_at(header, SFORM_CODE) <= 0) return 0;
    for (i = 0; i < 12; ++i) volume->affine[i] = float_at(header, SROW_X + 4 * (size_t)i);
    volume->affine[15] = 1;
    *why = "expected columns of the sform as long as pixdim says";
    if (!has_lengths_of_pixdim(header, volume->affine)) return 0;
    *why = "expected sform and qform to agree within 1 mm";
    if (int16_at(header, QFORM_CODE) <= 0) return 1;
    read_qform(header, qform);
    return largest_gap_mm(volume->affine, qform, volume->shape) <= MAX_TRANSFORM_GAP_MM;
}

/* Fills slope and intercept; 0 or NaN as slope means that there is none. */
static int read_scaling(const unsigned char* header, struct nigro_volume* volume,
                        const char** why) {
    const double slope = float_at(header, SCL_SLOPE), intercept = float_at(header, SCL_INTER);
    const int is_given = slope == slope && slope != 0;

    *why = "expected a finite scl_slope and scl_inter";
    volume->slope = is_given ? slope : 1;
    volume->intercept = is_given ? intercept : 0;
    return volume->slope - volume->slope == 0 && volume->intercept - volume->intercept == 0;
}

/* Where the voxels begin, or 0 with '*why'. */
static int64_t find_voxels(const unsigned char* header, int64_t n_bytes, int64_t n_file_bytes,
                           const char** why) {
    const double offset = float_at(header, VOX_OFFSET);

    *why = "expected a vox_offset of 352 to 2^24";
    if (!(offset >= FIRST_VOXEL && offset <= 16777216)) return 0;
    *why = "expected all voxels that the header states: the file is cut short";
    return n_bytes > n_file_bytes - (int64_t)offset ? 0 : (int64_t)offset;
}

/* Reads all 'n' bytes from 'offset' on; returns 0 if there are fewer or they cannot be read. */
static int read_at(int descriptor, void* bytes, int64_t n, int64_t offset) {
    int64_t filled = 0;

    while (filled < n) {
        const ssize_t got = pread(descriptor, (char*)bytes + filled, (size_t)(n - filled),
                                  (off_t)(offset + filled));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;
        filled += got;
    }
    return 1;
}

/* Describes the image that is open; returns 0 with '*why'. */
static int read_nifti(struct image* image, const char** why) {
    const int64_t n_file_bytes = image->opened.st_size;
    struct nigro_volume* volume = &image->volume;
    unsigned char header[HEADER_BYTES];
    int64_t n_bytes;

    *why = "expected uncompressed single-file NIfTI-1 in this machine's byte order";
    if (!read_at(image->descriptor, header, HEADER_BYTES, 0) ||
        int32_at(header, SIZEOF_HDR) != HEADER_BYTES || memcmp(header + MAGIC, "n+1", 4) != 0)
        return 0;
    volume->sizeof_volume = sizeof *volume;
    n_bytes = read_layout(header, volume, why);
    if (n_bytes == 0 || !read_affine(header, volume, why) || !read_scaling(header, volume, why))
        return 0;
    image->first_voxel = find_voxels(header, n_bytes, n_file_bytes, why);
    return image->first_voxel != 0;
}

/* Opens the image at 'path' and describes it; returns 0 with '*why'.  A pipe is not waited for. */
static int open_image(const char* path, struct image* image, const char** why) {
    memset(image, 0, sizeof *image);
    *why = "expected a file that can be read";
    image->descriptor = open(path, O_RDONLY | O_NONBLOCK);
    if (image->descriptor < 0 || fstat(image->descriptor, &image->opened) != 0 ||
        !S_ISREG(image->opened.st_mode))
        return 0;
    return read_nifti(image, why);
}

static void close_image(struct image* image) {
    free(image->held);
    if (image->descriptor >= 0) close(image->descriptor);
}

/* Whether nobody has written to the file since it was opened, and how many bytes it has now. */
static int is_unchanged(const struct image* image, int64_t* n_bytes) {
    struct stat now;

    *n_bytes = -1;
    if (fstat(image->descriptor, &now) != 0) return 0;
    *n_bytes = now.st_size;
    return now.st_size == image->opened.st_size &&
           now.st_mtim.tv_sec == image->opened.st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == image->opened.st_mtim.tv_nsec;
}

/* Reads the box from 'begin' to 'end': of each slice its rows, which lie side by side, whole.
 * Returns 0 if there is no memory or they cannot be read. */
static int read_window(struct image* image, const int64_t begin[3], const int64_t end[3]) {
    struct nigro_volume* volume = &image->volume;
    const int64_t row = volume->strides_bytes[1], slice = volume->strides_bytes[2];
    const int64_t n_bytes = (end[1] - begin[1]) * row;
    int64_t k;

    image->held = malloc((size_t)(n_bytes * (end[2] - begin[2])));
    if (image->held == NULL) return 0;
    for (k = begin[2]; k < end[2]; ++k)
        if (!read_at(image->descriptor, image->held + (k - begin[2]) * n_bytes, n_bytes,
                     image->first_voxel + k * slice + begin[1] * row))
            return 0;
    volume->voxels = image->held;
    volume->strides_bytes[2] = n_bytes;
    volume->held_begin[1] = begin[1];
    volume->held_begin[2] = begin[2];
    volume->held_end[0] = volume->shape[0];
    volume->held_end[1] = end[1];
    volume->held_end[2] = end[2];
    return 1;
}

/* ------------------------------------------------------------------------------------- arguments
 */

/* Takes "left" "X,Y,Z" pairs from the command line; returns how many, or 0. */
static size_t read_points(char** arguments, int n_arguments, int32_t sides[2],
                          double centres_mm[6]) {
    size_t n = 0;

    if (n_arguments != 2 && n_arguments != 4) return 0;
    for (; n_arguments > 0; n_arguments -= 2, arguments += 2, ++n) {
        double* centre = centres_mm + 3 * n;
        char end;
        if (strcmp(arguments[0], "left") != 0 && strcmp(arguments[0], "right") != 0) return 0;
        sides[n] = strcmp(arguments[0], "left") == 0 ? NIGRO_LEFT : NIGRO_RIGHT;
        if (sscanf(arguments[1], "%lf,%lf,%lf%c", centre, centre + 1, centre + 2, &end) != 3)
            return 0;
    }
    return n;
}

/* A person has two sides; more threads than this have little to do. */
static int32_t threads_to_use(void) {
    const int32_t n_usable = nigro_usable_processors();
    return n_usable > 4 ? 4 : n_usable;
}

/* Opens the model at 'path', or returns NULL and says why. */
static struct nigro_model* open_model(const char* path) {
    struct nigro_model* model = NULL;
    struct nigro_options options;

    options.sizeof_options = sizeof options;
    options.num_threads = threads_to_use();
    if (nigro_model_open(path, &options, &model) != NIGRO_OK)
        fprintf(stderr, "%s: %s\n", path, nigro_last_error());
    return model;
}

static int failed(nigro_status status) {
    fprintf(stderr, "status %d: %s\n", (int)status, nigro_last_error());
    return 1;
}

/* Reads what the points need, predicts and prints; returns the exit code. */
static int predict(struct nigro_model* model, struct image* image, const char* path,
                   size_t n_points, const int32_t sides[2], const double centres_mm[6]) {
    int64_t begin[3], end[3], n_bytes;
    double coverage[2];
    float sbr[2];
    size_t i;
    int is_read;
    nigro_status status =
        nigro_get_window(model, &image->volume, n_points, sides, centres_mm, begin, end);

    if (status != NIGRO_OK) return failed(status);
    is_read = read_window(image, begin, end);
    if (!is_unchanged(image, &n_bytes) || !is_read) {
        fprintf(stderr, "%s: expected its %lld bytes as when it was opened, got %lld: %s\n", path,
                (long long)image->opened.st_size, (long long)n_bytes,
                is_read ? "it was written to meanwhile" : "it cannot be read");
        return 1;
    }
    status = nigro_predict(model, &image->volume, n_points, sides, centres_mm, sbr, coverage);
    if (status != NIGRO_OK) return failed(status);
    for (i = 0; i < n_points; ++i) /* %.9g: every bit of a float */
        printf("%s %.9g %.6g\n", sides[i] == NIGRO_LEFT ? "left" : "right", sbr[i], coverage[i]);
    return 0;
}

int main(int argc, char** argv) {
    struct nigro_model* model = NULL;
    struct image image;
    int32_t sides[2];
    double centres_mm[6];
    const char* why;
    int exit_code = 1;
    const size_t n_points = argc < 5 ? 0 : read_points(argv + 3, argc - 3, sides, centres_mm);

    if (n_points == 0) {
        fprintf(stderr, "usage: %s MODEL.onnx IMAGE.nii left X,Y,Z [right X,Y,Z]\n", argv[0]);
        return 2;
    }
    if (!open_image(argv[2], &image, &why))
        fprintf(stderr, "%s: %s\n", argv[2], why);
    else if ((model = open_model(argv[1])) != NULL)
        exit_code = predict(model, &image, argv[2], n_points, sides, centres_mm);
    nigro_model_free(model);
    close_image(&image);
    return exit_code;
}
